"""`swiftish serve` as its user meets it: what it prints, finds, refuses, and how it ends."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import device_parent
from tests.functional.account import Account
from tests.functional.server import BIN, ROOT, SWIFTISH, Server, free_port, until
from tests.functional.wire import Wire

MiB = 1 << 20


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that does not exist yet, where objects can be kept."""
    with TemporaryDirectory(prefix="swiftish-serve-", dir=device_parent()) as folder:
        yield Path(folder) / "data"


def small(data: Path, *options: str, users: tuple[str, ...] = ()) -> Server:
    """A server of one device, as somebody starts it who has read nothing."""
    return Server(data, workers=1, devices=1, replicas=1, users=users, options=options)


def refused(*arguments: str, prefix: tuple[str, ...] = ()) -> str:
    """The one sentence on standard error of a `serve` that must not come up."""
    done = subprocess.run(
        [*prefix, str(SWIFTISH), "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode not in {0, -signal.SIGKILL}, done
    assert "ready " not in done.stdout
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in lines[0]
    assert "Error:" not in lines[0]
    return lines[0]


def bind() -> tuple[str, str]:
    return "--bind", f"127.0.0.1:{free_port()}"


def paste(lines: list[str], folder: Path) -> str:
    """What a shell says to these lines."""
    path = f"{BIN}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        env={"PATH": path, "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (lines, done.stdout, done.stderr)
    return done.stdout


def line_with(lines: list[str], pattern: str) -> str:
    found = [line.strip() for line in lines if re.search(pattern, line)]
    assert len(found) == 1, (pattern, lines)
    return found[0]


def test_what_the_first_start_prints_can_be_pasted(data: Path, tmp_path: Path) -> None:
    """The auth URL, the exports, one upload and one curl line: all of them work as printed."""
    with small(data) as server:
        lines = list(server.lines)
        assert line_with(lines, r"^ready ") == f"ready {server.auth_url}"
        export = line_with(lines, r"^\s*export ")
        for name in ("ST_AUTH", "ST_USER", "ST_KEY"):
            assert f"{name}=" in export
        key = re.search(r"ST_KEY=(\S+)", export)
        assert key
        assert len(shlex.split(key[1])[0]) >= 16
        upload = line_with(lines, r"\bswift upload ")
        curl = line_with(lines, r"\bcurl ")
        container = shlex.split(upload)[2]
        paste([export, upload], tmp_path)
        assert paste([export, f"swift list {container}"], tmp_path).strip()
        if shutil.which("curl"):
            assert container in paste([export, curl], tmp_path)
    assert server.data.stat().st_mode & 0o777
    settings = data / "swiftish.toml"
    assert not settings.stat().st_mode & 0o077, "the keys are for the owner's eyes only"


def test_the_second_start_finds_everything(data: Path, tmp_path: Path) -> None:
    """Users, objects and settings are there again; the key is not printed a second time."""
    with small(data) as server:
        export = line_with(server.lines, r"^\s*export ")
        upload = line_with(server.lines, r"\bswift upload ")
        paste([export, upload], tmp_path)
        container = shlex.split(upload)[2]
        listed = paste([export, "swift list", f"swift list --long {container}"], tmp_path)
        key = re.search(r"ST_KEY=(\S+)", export)
        assert key
        port = server.port
    again = Server(data, workers=1, devices=1, replicas=1, users=(), port=port)
    with again:
        assert key[1] not in "\n".join(again.lines)
        again_listed = paste([export, "swift list", f"swift list --long {container}"], tmp_path)
        assert again_listed == listed


def test_users_of_the_command_line(data: Path) -> None:
    """`--user` gives accounts, keys and groups; a new key replaces the old one."""
    with small(data, users=("a:b:first:.admin", "a:c:third")) as server:
        owner = Account.sign_in(server.auth_url, "a:b", "first")
        owner.put_container("mine")
        owner.put("mine", "o", b"x")
        other = Account.sign_in(server.auth_url, "a:c", "third")
        assert other.root == owner.root
        assert other.request("GET").status == 403
        owner.close()
        other.close()
    with small(data, users=("a:b:second:.admin",)) as server:
        owner = Account.sign_in(server.auth_url, "a:b", "second")
        assert owner.get("mine", "o").body == b"x"
        owner.close()
        with Wire("127.0.0.1", server.port) as wire:
            old = {"X-Auth-User": "a:b", "X-Auth-Key": "first"}
            assert wire.request("GET", "/auth/v1.0", old).status == 401


def test_a_second_server_on_the_same_folder(data: Path) -> None:
    """It is refused before it touches anything, and the first one goes on."""
    with small(data, users=("a:b:c:.admin",)) as server:
        before = (data / "swiftish.toml").read_bytes()
        sentence = refused("--data", str(data), *bind(), "--user", "a:b:other")
        assert str(data) in sentence
        assert (data / "swiftish.toml").read_bytes() == before
        Account.sign_in(server.auth_url, "a:b", "c").close()


def test_a_port_in_use(data: Path) -> None:
    """The sentence names the address; the data folder is not made into anything."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refused("--data", str(data), "--bind", f"127.0.0.1:{port}")
        assert f"127.0.0.1:{port}" in sentence or f"port {port}" in sentence
    with small(data):
        pass  # and the folder can still be used


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999"])
def test_a_bad_address(data: Path, address: str) -> None:
    """What is no HOST:PORT is quoted back."""
    assert address in refused("--data", str(data), "--bind", address)


def in_a_namespace(script: str) -> tuple[str, ...]:
    """A command that runs another with file systems of its own mounted; skips if not allowed."""
    prefix = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec")
    whole = (*prefix, f'{script}; exec "$@"', "sh")
    try:
        done = subprocess.run([*whole, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("this machine has no unshare")
    if done.returncode:
        pytest.skip(f"this machine allows no mount namespaces: {done.stderr.strip()}")
    return whole


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A read-only file system is told in one sentence."""
    inside = in_a_namespace(f"mount -t tmpfs -o ro none {tmp_path}")
    sentence = refused("--data", str(tmp_path / "data"), *bind(), prefix=inside)
    assert str(tmp_path / "data") in sentence


def test_a_folder_that_cannot_be_made() -> None:
    """The same where nothing can be mounted (in most containers), and for root too: in /proc."""
    assert "/proc/swiftish-data" in refused("--data", "/proc/swiftish-data", *bind())


def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    """A file where the folder should be is told, and left alone."""
    file = tmp_path / "data"
    file.write_text("precious")
    assert str(file) in refused("--data", str(file), *bind())
    assert str(file) in refused("--data", str(file / "below"), *bind())
    assert file.read_text() == "precious"


def test_a_file_system_without_xattrs(tmp_path: Path) -> None:
    """A file system that keeps no user attributes cannot hold objects, and the sentence says so."""
    inside = in_a_namespace(f"mount -t ramfs none {tmp_path}")
    sentence = refused("--data", str(tmp_path / "data"), *bind(), prefix=inside)
    assert "extended attributes" in sentence


def test_a_folder_with_other_things(tmp_path: Path) -> None:
    """A folder that somebody else uses is not turned into a data folder."""
    (tmp_path / "letter.txt").write_text("Dear")
    assert str(tmp_path) in refused("--data", str(tmp_path), *bind())
    assert {path.name for path in tmp_path.iterdir()} <= {"letter.txt", "lock"}


@pytest.mark.parametrize(
    ("text", "path", "nearest"),
    [
        ("[server]\nworker = 2\n", "server.worker", "workers"),
        ("[servr]\nworkers = 2\n", "servr", "server"),
        ("[cluster]\nreplica = 1\n", "cluster.replica", "replicas"),
        ("[limits]\nmax_file_siz = 1\n", "limits.max_file_siz", "max_file_size"),
        (
            "[[policy]]\nindex = 0\nname = 'a'\n[[policy]]\nindex = 1\nnam = 'b'\n",
            "policy[1].nam",
            "name",
        ),
    ],
)
def test_an_unknown_setting(data: Path, tmp_path: Path, text: str, path: str, nearest: str) -> None:
    """The sentence names the file, the full path of the key, and the nearest right one."""
    config = tmp_path / "settings.toml"
    config.write_text(text)
    sentence = refused("--data", str(data), *bind(), "--config", str(config))
    assert str(config) in sentence
    assert path in sentence
    assert nearest in sentence


@pytest.mark.parametrize(
    "text",
    ["[server\n", "[server]\nworkers = 'two'\n", "[server]\nworkers = true\n", "server = 3\n"],
    ids=["no TOML", "a string", "a boolean", "no table"],
)
def test_bad_settings(data: Path, tmp_path: Path, text: str) -> None:
    """A file that cannot be read as settings is named."""
    config = tmp_path / "settings.toml"
    config.write_text(text)
    assert str(config) in refused("--data", str(data), *bind(), "--config", str(config))


def test_a_missing_settings_file(data: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.toml")
    assert missing in refused("--data", str(data), *bind(), "--config", missing)


@pytest.mark.parametrize("user", ["onlyone", "a:b", "a::key", ":b:key", "a:b:"])
def test_a_bad_user(data: Path, user: str) -> None:
    """A `--user` that makes no sense is quoted, with how to write it."""
    sentence = refused("--data", str(data), *bind(), "--user", user)
    assert "--user" in sentence
    assert "ACCOUNT:USER:KEY" in sentence


@pytest.mark.parametrize(
    "options", [("--replicas", "2", "--devices", "1"), ("--replicas", "0"), ("--devices", "0")]
)
def test_numbers_that_cannot_be(data: Path, options: tuple[str, ...]) -> None:
    """More replicas than devices, or none at all, is refused, and a right start works after it.

    The sentence blames no settings file, because there is none yet.
    """
    assert "swiftish.toml" not in refused("--data", str(data), *bind(), *options)
    with small(data):
        pass


def test_another_layout_than_the_data_has(data: Path) -> None:
    """The number of devices cannot change under the data: refused, and nothing is lost."""
    with small(data, users=("a:b:c:.admin",)) as server:
        owner = Account.sign_in(server.auth_url, "a:b", "c")
        owner.put_container("c")
        owner.put("c", "o", b"kept")
        owner.close()
    before = (data / "swiftish.toml").read_bytes()
    sentence = refused("--data", str(data), *bind(), "--devices", "5")
    assert "devices" in sentence
    assert (data / "swiftish.toml").read_bytes() == before
    assert tomllib.loads(before.decode())["cluster"]["devices"] == 1
    with small(data) as server:
        owner = Account.sign_in(server.auth_url, "a:b", "c")
        assert owner.get("c", "o").body == b"kept"
        owner.close()


def test_kill_during_the_first_start(data: Path) -> None:
    """However early the very first start is cut off, the next one works."""
    for delay_s in (0.0, 0.2, 0.4, 0.6, 0.8):
        server = small(data, users=("a:b:c:.admin",))
        server.launch()
        time.sleep(delay_s)  # a moment of its start; nothing tells which it is
        server.kill()
    with small(data, users=("a:b:c:.admin",)) as server:
        Account.sign_in(server.auth_url, "a:b", "c").close()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return False
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_drains(data: Path, workers: int) -> None:
    """An upload that is under way at SIGTERM is finished and answered; the exit status is 0."""
    server = Server(data, workers=workers, devices=1, replicas=1, users=("a:b:c:.admin",))
    body = os.urandom(3 * MiB)
    with server:
        owner = Account.sign_in(server.auth_url, "a:b", "c")
        owner.put_container("c")
        owner.put("c", "large", body)
        idle, upload, download = (Wire(owner.host, owner.port) for _ in range(3))
        assert idle.request("HEAD", owner.path("c"), owner.headers()).status == 204
        headers = owner.headers({"Content-Length": str(len(body)), "Expect": "100-continue"})
        upload.send_head("PUT", owner.path("c", "slow"), headers)
        assert upload.read_head().status == 100
        upload.send(body[:MiB])
        download.send_head("GET", owner.path("c", "large"), owner.headers())
        assert download.read_head().status == 200
        start = download.read_exactly(1000)
        server.terminate()
        assert idle.at_end(), "a connection without a request is closed"
        until(lambda: not accepts(server.port), what="it accepts no new connections")
        upload.send(body[MiB:])
        assert upload.read_reply("PUT").status == 201
        assert start + download.read_exactly(len(body) - 1000) == body
        assert server.wait() == 0
        for wire in (upload, download, idle):
            wire.close()
        owner.close()
    with server:
        owner = Account.sign_in(server.auth_url, "a:b", "c")
        assert owner.get("c", "slow").body == body
        owner.close()


def test_a_worker_that_dies_is_replaced(data: Path) -> None:
    """A killed worker does not end the service."""
    with Server(data, workers=2, devices=1, replicas=1, users=("a:b:c:.admin",)) as server:
        parent, *children = server.pids()
        assert len(children) >= 2
        for child in children:
            os.kill(child, signal.SIGKILL)
        until(lambda: not set(server.pids()) & set(children), what="the dead are gone")
        until(lambda: len(server.pids()) > len(children), what="others have come")
        until(lambda: accepts(server.port), what="it accepts again")
        Account.sign_in(server.auth_url, "a:b", "c").close()
        assert server.pids()[0] == parent


def test_sighup_takes_no_token_away(data: Path) -> None:
    """Who was signed in before the processes were replaced is so afterwards, also with one."""
    with small(data, users=("a:b:c:.admin",)) as server:
        account = Account.sign_in(server.auth_url, "a:b", "c")
        account.put_container("c")
        before = set(server.pids())
        server.process.send_signal(signal.SIGHUP)

        def replaced() -> bool:
            return before & set(server.pids()) == {server.process.pid}

        until(replaced, what="other processes serve")
        account.close()
        assert account.names() == ["c"]
        account.close()


def test_sigint_ends_it_too(data: Path) -> None:
    """Control-C is a normal end."""
    server = small(data).start()
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.wait() == 0


def test_help_and_version() -> None:
    """`--help` names every option; `--version` is one line."""
    for arguments in (["--help"], ["serve", "--help"], ["--version"]):
        done = subprocess.run(
            [str(SWIFTISH), *arguments], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert done.stdout.strip()
        if arguments == ["serve", "--help"]:
            options = ("data", "bind", "workers", "devices", "replicas", "user", "config")
            assert [name for name in options if f"--{name}" not in done.stdout] == []
