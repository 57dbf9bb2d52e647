"""Container server and workers."""
