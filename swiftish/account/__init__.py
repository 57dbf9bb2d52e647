"""The account server: which containers an account has, and what they hold.

app      the verbs
broker   accounts and their rows in LMDB
"""
