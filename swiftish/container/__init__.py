"""The container server: which objects a container has, and its settings.

app              the verbs
broker           containers and their rows in LMDB
schema           what a row is, how two merge, what else changes with them
account_updates  telling accounts of a container
updater          worker: the totals of containers that have changed
replicator       worker: all replicas get all rows; misplaced ones get into the queue
strays           which rows are misplaced, and which of them the queue has
misplacement     what is to become of them
reconciler       worker: objects are moved to the policy of their container
auditor          worker: is what is stored as it should be?
settings         what can be set
"""
