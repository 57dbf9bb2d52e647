"""The server under test: one of ours, started here, or any that runs already."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

HERE = Path(__file__).parent
READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
AUTH_PATH = "/auth/v1.0"


class ServerBroken(Exception):
    """Our server did not come up, or did not go down as it should."""


def auth_url(server: str) -> str:
    """`http://host:port` or the whole auth URL: the tests want the latter."""
    return server if urlsplit(server).path.strip("/") else server.rstrip("/") + AUTH_PATH


@contextmanager
def own_server(*, workers: int | None, log: Path) -> Iterator[str]:
    """Start `swiftish serve` with settings.toml on a folder of its own; yield its auth URL."""
    command = [str(Path(sys.executable).with_name("swiftish")), "serve"]
    with TemporaryDirectory(
        prefix="swiftish-conformance-", dir=os.environ.get("SWIFTISH_TEST_DIR")
    ) as data:
        command += ["--data", str(Path(data) / "data"), "--bind", f"127.0.0.1:{free_port()}"]
        command += ["--config", str(HERE / "settings.toml")]
        command += ["--workers", str(workers)] if workers else []
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )
            try:
                yield wait_until_ready(process, log)
                stop(process, log)
            finally:
                end_group(process)
                process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """The auth URL out of the line `ready http://…/auth/v1.0`."""
    ready: Queue[str] = Queue()
    threading.Thread(target=follow, args=(process, log, ready), daemon=True).start()
    try:
        url = ready.get(timeout=READY_TIMEOUT_S)
    except Empty:
        url = ""
    if not url:
        raise ServerBroken(f"swiftish serve did not say that it is ready:\n{tail(log)}")
    return url


def follow(process: subprocess.Popen[bytes], log: Path, ready: Queue[str]) -> None:
    """Copy what it says to the log, to the end, so that the pipe never fills."""
    assert process.stdout is not None
    with log.open("ab") as output:
        for line in process.stdout:
            output.write(line)
            output.flush()
            word, _, url = line.decode("utf-8", "replace").strip().partition(" ")
            if word == "ready":
                ready.put(url)
    ready.put("")  # it ended


def stop(process: subprocess.Popen[bytes], log: Path) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ServerBroken(f"the server ignored SIGTERM for {STOP_TIMEOUT_S} s") from error
    if status:
        raise ServerBroken(f"the server ended with status {status}:\n{tail(log)}")


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Whatever of our own server is left; it was started as the leader of its process group."""
    with suppress(ProcessLookupError):  # it is gone, as it should be
        os.killpg(process.pid, signal.SIGKILL)


def tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-30:])


def write_test_config(path: Path, url: str) -> None:
    """test.conf, as Swift's tests read it: where the server is and who its users are."""
    path.write_text(
        f"""\
[func_test]
auth_uri = {url}
account = test
username = tester
password = testing
account2 = test2
username2 = tester2
password2 = testing2
username3 = tester3
password3 = testing3
account5 = test5
username5 = tester5
password5 = testing5
service_prefix = SERVICE
account6 = test
username6 = tester6
password6 = testing6
collate = C
insecure = no
storage_domain =

[unit_test]
fake_syslog = False

[swift-constraints]
strict_cors_mode = true
""",
        "utf-8",
    )
