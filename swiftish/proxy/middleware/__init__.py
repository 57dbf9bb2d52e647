"""Middleware: classes taking `app`; their order and the reason for it is in proxy/pipeline.py."""
