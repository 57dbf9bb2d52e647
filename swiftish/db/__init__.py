"""The LMDB broker that account and container databases are made of."""
