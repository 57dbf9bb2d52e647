"""The LMDB store that account and container databases are made of.

name_index  names of any length as keys, in byte order
row_table   live rows, tombstones, the log of changes
heads       what is known of a database itself; its totals
pool        the open environments, one per device and kind
"""
