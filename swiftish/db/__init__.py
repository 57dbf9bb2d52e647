"""The LMDB store that account and container databases are made of, and what keeps replicas alike.

name_index   names of any length as keys, in byte order
row_table    live rows, tombstones, the log of changes
heads        what is known of a database itself; its totals; how two heads merge
claims       which policy a container has
schema       what differs between accounts and containers
numbers      the numbers of changes, and the lives that make them mean the same to everybody
sync_points  what a database has of others
pool         the open environments, one per device and kind
requests     what requests to account and container servers have in common

sync_rules   where databases belong, and what follows from who has them
deltas       the documents that replicas exchange
peers        where the other replicas are
receiver     the verb REPLICATE
exchange     the other end of it
replicator   worker: everybody gets everything, and what does not belong here goes
removal      letting a database go, in short transactions
reclaim      forgetting what was deleted long ago

auditor      worker: is what is stored as it should be?
census       counting a database's rows, log and totals
leftovers    rows without a head
second_copy  does anybody else have it?
quarantine   a copy of what is let go because it is damaged
settings     what of the workers can be set
"""
