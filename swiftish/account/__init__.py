"""Account server and workers."""
