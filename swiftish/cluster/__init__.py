"""Talking to many nodes: order, quorum, upload, download, the wire contract."""
