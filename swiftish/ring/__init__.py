"""Which devices hold a partition; how partitions are placed."""
