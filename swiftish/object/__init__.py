"""Object server, disk files and workers."""
