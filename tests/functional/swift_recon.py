"""Runs Swift's own swift-recon; started by Swift's own Python.

Swift's tool compares our settings' digest with that of /etc/swift/swift.conf, whose path is fixed
and which is not there: a digest of ours stands for it, given in SWIFT_CONF_MD5.
"""

import os
from importlib import import_module
from typing import Any

recon: Any = import_module("swift.cli.recon")
real = recon.md5_hash_for_file


def md5_hash_for_file(path: str) -> str:
    found: str = os.environ["SWIFT_CONF_MD5"] if path == recon.SWIFT_CONF_FILE else real(path)
    return found


recon.md5_hash_for_file = md5_hash_for_file
recon.main()
