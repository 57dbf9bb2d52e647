"""swiftish: an object storage server that speaks OpenStack Swift's API."""

__version__ = "0.1.0"
