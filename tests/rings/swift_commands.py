"""Runs swift-ring-builder's command lines, many in one process; started by Swift's own Python.

Reads one JSON object a line: {"folder", "arguments", "stdin"}; answers with {"status", "text"}.
"""

import contextlib
import io
import json
import os
import sys
import traceback
from importlib import import_module
from typing import Any

answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing else may answer

builder: Any = import_module("swift.cli.ringbuilder")
utils: Any = import_module("swift.common.utils")
utils.HASH_PATH_PREFIX = b"x"  # what swift.conf would say


def run(arguments: list[str]) -> int:
    try:
        builder.main(["swift-ring-builder", *arguments])
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception:  # noqa: BLE001 -- as the command does: whatever is not caught is a 2
        traceback.print_exc()
        return 2
    return 0


for line in sys.stdin:
    job = json.loads(line)
    os.chdir(job["folder"])
    text, stdin = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(job["stdin"])
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        status = run(job["arguments"])
    sys.stdin = stdin
    print(json.dumps({"status": status, "text": text.getvalue()}), file=answers, flush=True)
