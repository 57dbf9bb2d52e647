"""The account server: which containers an account has, and what they hold.

app         the verbs
broker      accounts and their rows in LMDB
schema      what a row is, and how two merge
replicator  worker: all replicas get all rows
reaper      worker: what is in deleted accounts goes
auditor     worker: is what is stored as it should be?
settings    what can be set
"""
