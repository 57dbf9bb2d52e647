"""The container server: which objects a container has, and its settings.

app              the verbs
broker           containers and their rows in LMDB
account_updates  telling accounts of a container
updater          worker: the totals of containers that have changed
settings         what can be set
"""
