"""/metrics, /recon, and the commands that look at a cluster, on processes that run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from swiftish.cli.running import run_folder
from swiftish.domain.hashing import HashPath
from swiftish.ring.device import Device
from swiftish.ring.even import even_ring
from swiftish.ring.format import encode
from swiftish.ring.hash_id import hash_id
from swiftish.runtime.device_check import mark_device
from swiftish.runtime.device_mark import Identity
from swiftish.runtime.metrics import rendered, summed
from tests.conformance.suite import cache_folder, environment, only_one
from tests.conftest import device_parent
from tests.fakes.prometheus import parse, total, value
from tests.functional.account import Account
from tests.functional.server import (
    ROOT,
    SWIFTISH,
    USERS,
    Program,
    Server,
    children,
    free_port,
    until,
)
from tests.functional.wire import Wire

COMMAND_TIMEOUT_S = 60
METRICS = "metrics-*.json"


def command(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of a `swiftish` command."""
    done = subprocess.run(
        [str(SWIFTISH), *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def get(port: int, path: str) -> str:
    with Wire("127.0.0.1", port) as wire:
        reply = wire.request("GET", path)
    assert reply.status == 200, reply
    return reply.body.decode()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="swiftish-observed-", dir=device_parent()) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def observed(folder: Path) -> Iterator[Server]:
    """A server of two serving processes, which nobody else asks for anything."""
    with Server(folder / "data", workers=2, devices=4, replicas=3, users=USERS) as server:
        yield server


@pytest.fixture
def client(observed: Server) -> Iterator[Account]:
    account = Account.sign_in(observed.auth_url, "test:tester", "testing")
    yield account
    account.close()


def requests(port: int, method: str, status: str) -> float:
    labels = {"server": "proxy", "method": method, "status": status}
    return value(get(port, "/metrics"), "swiftish_requests_total", **labels)


# ---- /metrics -----------------------------------------------------------------------------------


def test_every_request_is_counted_once_over_all_processes(
    observed: Server, client: Account
) -> None:
    """Also after new processes have taken over, and one has been killed."""
    port = observed.port
    before = {verb: requests(port, verb, "2xx") for verb in ("PUT", "DELETE")}
    assert client.request("PUT", "counted").status == 201
    for number in range(24):
        with Wire(client.host, client.port) as wire:  # each may reach another process
            path = client.path("counted", f"o{number}")
            assert wire.request("PUT", path, client.headers(), b"x" * 100).status == 201

    def all_counted() -> bool:
        found = requests(port, "PUT", "2xx") - before["PUT"]
        assert found <= 25
        return found == 25

    until(all_counted, what="25 PUTs are counted")
    text = get(port, "/metrics")
    assert total(text, "swiftish_request_bytes_total", server="proxy", method="PUT") >= 2400
    assert value(text, "swiftish_processes") == 3, "two that serve and one for the workers"
    puts = {"service": "object", "method": "PUT", "result": "2xx"}
    assert value(text, "swiftish_backend_requests_total", **puts) >= 72, "three copies of each"
    assert parse(text)["swiftish_request_seconds"].kind == "histogram"

    def written() -> float:
        files = [json.loads(file.read_text()) for file in run_folder(observed.data).glob(METRICS)]
        return (
            total(rendered(summed(files)), "swiftish_requests_total", method="PUT") - before["PUT"]
        )

    # What a killed process has counted in its last two seconds is lost.
    until(lambda: written() == 25, what="all processes have written it down")
    supervisor = observed.process.pid
    victim = children(supervisor)[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in children(supervisor), what="it is gone")
    until(lambda: len(children(supervisor)) == 3, what="another is there")
    assert requests(port, "PUT", "2xx") - before["PUT"] == 25
    old = set(children(supervisor))
    observed.process.send_signal(signal.SIGHUP)
    until(lambda: not old & set(children(supervisor)), what="all are new")
    assert requests(port, "PUT", "2xx") - before["PUT"] == 25, "no counter falls"
    client.again().request("DELETE", "counted", "o1")  # the old connection has ended
    until(lambda: requests(port, "DELETE", "2xx") - before["DELETE"] == 1, what="it goes on")


def test_devices_rings_and_workers_are_measured(observed: Server) -> None:
    until(lambda: "swiftish_workers_age" in get(observed.port, "/metrics"), what="workers report")
    text = get(observed.port, "/metrics")
    for device in ("d1", "d2", "d3", "d4"):
        assert value(text, "swiftish_device_in_service", device=device) == 1
        assert value(text, "swiftish_device_free_bytes", device=device) > 0
    assert value(text, "swiftish_ring_version", ring="object.ring.gz") >= 1
    assert total(text, "swiftish_database_bytes", file="accounts.mdb") > 0
    workers = parse(text)["swiftish_worker_passes_total"].samples
    assert any(("worker", "object-updater") in labels for _, labels in workers)
    assert abs(value(text, "swiftish_time_seconds") - time.time()) < 60
    described = (ROOT / "docs" / "reference" / "observability.md").read_text()
    assert [name for name in parse(text) if f"`{name}" not in described] == []


def test_a_proxys_port_shows_nothing_through_another_proxy(observed: Server) -> None:
    with Wire("127.0.0.1", observed.port) as wire:
        for path in ("/metrics", "/recon/node"):
            assert wire.request("GET", path, {"X-Forwarded-For": "192.0.2.1"}).status != 200
        assert wire.request("GET", "/healthcheck").body == b"OK"


# ---- recon --------------------------------------------------------------------------------------


def test_recon_of_a_server_on_one_machine(observed: Server) -> None:
    status, out, err = command("recon", "--data", str(observed.data))
    assert status in (0, 1), err
    assert out.splitlines()[-1].startswith("1 node, 0 down; safe: ")
    node = next(line for line in out.splitlines() if f"127.0.0.1:{observed.port}" in line)
    assert "as here" in node
    document = json.loads(command("recon", "--data", str(observed.data), "--json")[1])
    assert document["down"] == 0
    assert len(document["nodes"][0]["facts"]["devices"]) == 4
    assert command("recon", "--data", str(observed.data), "weather")[0] == 2


def test_recon_where_nothing_runs(folder: Path) -> None:
    status, _, err = command("recon", "--data", str(folder / "nothing"))
    assert status == 2
    assert len(err.splitlines()) == 1


# ---- explain and dispersion ---------------------------------------------------------------------


def files_of(observed: Server, *names: str) -> list[Path]:
    """The data files of an object on all devices."""
    text = (observed.data / "swiftish.toml").read_text()
    secrets = {
        key: re.search(rf'hash_{key} = "(\w+)"', text)[1].encode()  # type: ignore[index]
        for key in ("prefix", "suffix")
    }
    digest = HashPath(**secrets)(*names).hex()
    return sorted(observed.data.glob(f"devices/*/objects/*/*/{digest}/*.data"))


def test_explain_names_the_device_that_lacks_a_copy(observed: Server, client: Account) -> None:
    client.put_container("explained")
    client.put("explained", "cat.jpg", b"meow")
    name = f"/{client.root.rpartition('/')[2]}/explained/cat.jpg"
    where = ("explain", "--data", str(observed.data))
    status, out, _ = command(*where, name)
    assert status == 0, out
    assert out.count("here") == 3
    document = json.loads(command(*where, "--json", name)[1])
    assert [copy["primary"] for copy in document["copies"]] == [True, True, True, False]
    assert document["copies"][0]["bytes"] == "4"
    assert document["copies"][0]["etag"] == "4a4be40c96ac6314e91d93f38043a634"

    files = files_of(observed, *name.split("/")[1:])
    assert len(files) == 3
    for copy, file in zip(
        sorted(document["copies"][:3], key=lambda c: c["folder"]), files, strict=True
    ):
        assert str(file).startswith(str(observed.data / "devices" / copy["folder"]))
    device = files[0].relative_to(observed.data / "devices").parts[0]
    shutil.rmtree(files[0].parent)
    status, out, err = command(*where, name)
    assert status == 1
    assert f"/{device}: nothing" in err
    assert [line.split()[2].rpartition("/")[2] for line in out.splitlines() if line[:1] == "!"] == [
        device
    ]

    client.request("DELETE", "explained", "cat.jpg")
    status, out, _ = command(*where, name)
    assert status == 0, out
    assert out.count("deleted") == 3
    for above in (name.rpartition("/")[0], name.rsplit("/", 2)[0]):
        status, out, _ = command(*where, above)
        assert (status, out.count("here")) == (0, 3), out
    status, _, err = command(*where, "/AUTH_nobody/c/o")
    assert status == 2
    assert "nobody knows of the container" in err


def test_dispersion_names_the_device_that_lacks_a_marker(observed: Server) -> None:
    where = ("--data", str(observed.data))
    status, _, err = command("dispersion", "report", *where)
    assert status == 2
    assert "populate" in err
    status, out, _ = command("dispersion", "populate", *where, "--percent", "2")
    assert (status, out) == (0, "40 markers stored, 0 could not be stored\n")
    status, out, _ = command("dispersion", "populate", *where, "--percent", "2")
    assert (status, out) == (0, "0 markers stored, 0 could not be stored\n"), "they are there"
    status, out, _ = command("dispersion", "report", *where)
    assert status == 0, out
    assert "containers: 60 of 60 copies found (100.00 %), of 20 markers" in out
    assert "objects of policy Policy-0: 60 of 60 copies found" in out
    less = json.loads(command("dispersion", "report", *where, "--percent", "1", "--json")[1])
    assert [ring["markers"] for ring in less] == [10, 10]

    until(
        lambda: bool(files_of(observed, ".dispersion", "objects_0", "dispersion_0")),
        what="a marker is there",
    )
    lost = files_of(observed, ".dispersion", "objects_0", "dispersion_0")[0]
    device = lost.relative_to(observed.data / "devices").parts[0]
    lost.unlink()
    status, out, _ = command("dispersion", "report", *where, "--object-only")
    assert status == 1
    assert "59 of 60 copies found" in out
    assert "1 marker without 1 copy" in out
    assert re.search(rf"/{device} +1  not there", out), out
    assert command("dispersion", "report", *where, "--container-only")[0] == 0


# ---- a cluster, and Swift's own tool ------------------------------------------------------------


class ClusterNode(Program):
    """A node with all services at ports of their own, which stand in its rings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {kind: free_port() for kind in ("proxy", "account", "container", "object")}
        self.rings = folder / "rings"
        self.rings.mkdir(parents=True)
        for kind in ("account", "container", "object"):
            port = self.ports[kind]
            devices = [Device(id=n, device=f"d{n}", port=port, zone=n + 1) for n in range(3)]
            ring = even_ring(devices, replicas=3, power=6, hash_id=hash_id(b"x", b""))
            (self.rings / f"{kind}.ring.gz").write_bytes(encode(ring))
        for number in range(3):
            path = folder / "devices" / f"d{number}"
            path.mkdir(parents=True)
            mark_device(path, Identity(cluster=hash_id(b"x", b""), device=path.name))
        self.config = folder / "node.toml"
        services = "\n".join(f'{kind} = "127.0.0.1:{port}"' for kind, port in self.ports.items())
        self.config.write_text(
            f"""
[cluster]
hash_prefix = "x"
key = "secret"
[services]
{services}
[node]
devices = "devices"
rings = "rings"
state = "state"
[devices]
mount_check = false
[server]
workers = 1
"""
        )
        command = [str(SWIFTISH), "serve", "--config", str(self.config)]
        super().__init__(folder / "devices", command, folder / "log")


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[ClusterNode]:
    with ClusterNode(folder / "cluster") as node:
        yield node


@pytest.fixture(scope="session")
def swift_python() -> Path:
    """The Python of the environment for Swift's own tests; installed when it is missing."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with only_one(cache / "lock"):
        return environment(cache, print)


def test_ports_of_nodes_show_it_without_a_key(node: ClusterNode) -> None:
    for kind in ("account", "container", "object"):
        assert get(node.ports[kind], "/healthcheck") == "OK"
        assert value(get(node.ports[kind], "/metrics"), "swiftish_processes") >= 1
        found = json.loads(get(node.ports[kind], "/recon/node"))
        assert [device["kinds"] for device in found["devices"]] == [
            ["account", "container", "object"]
        ] * 3


def test_recon_of_a_cluster_asks_every_port_of_its_rings(node: ClusterNode) -> None:
    status, out, err = command("recon", "--config", str(node.config))
    assert status in (0, 1), err
    assert out.splitlines()[-1].startswith("1 node, 0 down; "), out
    ports = sorted(node.ports[kind] for kind in ("account", "container", "object"))
    assert f"127.0.0.1:{','.join(map(str, sorted(map(str, ports))))}" in out


def test_commands_reach_devices_over_the_wire_with_the_clusters_key(
    node: ClusterNode, folder: Path
) -> None:
    where = ("--config", str(node.config))
    assert command("dispersion", "populate", *where, "--percent", "10")[0] == 0
    status, out, _ = command("dispersion", "report", *where)
    assert status == 0, out
    assert out.count("18 of 18 copies found") == 2
    status, out, err = command("explain", *where, "/.dispersion/objects_0/dispersion_0")
    assert (status, out.count("here")) == (0, 3), out + err

    stranger = folder / "stranger"
    shutil.copytree(node.rings, stranger / "rings")
    config = stranger / "node.toml"
    config.write_text(node.config.read_text().replace("secret", "guessed"))
    assert command("dispersion", "report", "--config", str(config))[0] == 2
    status, out, err = command("explain", "--config", str(config), "/.dispersion")
    assert status == 2
    assert "refuses the cluster's key" in out
    refused = get(node.ports["account"], "/metrics")
    assert total(refused, "swiftish_refused_peers_total", server="account", reason="wrong") > 0


def test_recon_names_what_differs_and_who_is_down(node: ClusterNode, folder: Path) -> None:
    """By a copy of the settings whose object ring has another node, which does not run."""
    other = folder / "other"
    shutil.copytree(node.folder / "rings", other / "rings")
    with socket.socket() as closed:
        closed.bind(("127.0.0.2", 0))  # and does not listen
        devices = [
            Device(id=0, device="d0", port=node.ports["object"]),
            Device(id=1, device="d1", ip="127.0.0.2", port=closed.getsockname()[1]),
        ]
        ring = even_ring(devices, replicas=2, power=6, hash_id=hash_id(b"x", b""))
        (other / "rings" / "object.ring.gz").write_bytes(encode(ring))
        config = other / "node.toml"
        config.write_text(node.config.read_text())
        status, out, err = command("recon", "--config", str(config), "nodes")
    assert status == 1
    assert "2 nodes, 1 down; safe: not known" in out
    assert re.search(r"127\.0\.0\.2:\d+: no answer: .*", err), err
    assert "its object.ring.gz is not the one that is here" in err


def test_swifts_own_recon_understands_us(node: ClusterNode, swift_python: Path) -> None:
    (node.rings / "swift.conf").write_text("[swift-hash]\nswift_hash_path_prefix = x\n")
    conf = json.loads(get(node.ports["object"], "/recon/swiftconfmd5"))["/etc/swift/swift.conf"]

    def recon(*arguments: str) -> str:
        script = Path(__file__).parent / "swift_recon.py"
        done = subprocess.run(
            [swift_python, script, *arguments, "--swiftdir", node.rings],
            env={**os.environ, "SWIFT_CONF_MD5": conf},
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout

    for kind in ("account", "container", "object"):
        out = recon(
            *(kind, "-r", "-u", "-l", "-q", "-T", "--jitter", "5", "--md5", "--auditor", "-d"),
            *("--sockstat", "--driveaudit", "--swift-versions"),
        )
        assert out.count("1/1 hosts matched, 0 error[s] while checking hosts.") == 3, out
        assert "[quarantined_objects] low: 0, high: 0, avg: 0.0, total: 0, Failed: 0.0%" in out
        assert "[1m_load_avg]" in out
        assert "[tcp_in_use]" in out
        assert "Disk usage: space used: " in out
        assert "Versions matched (0.1.0), 0 error[s] while checking hosts." in out
        assert "[drive_audit_errors] low: 0" in out
        assert "Not mounted" not in out
        assert "Device errors" not in out
    out = recon("object", "-a", "--updater", "--expirer", "-R")
    assert "[async_pending] low: 0, high: 0, avg: 0.0, total: 0, Failed: 0.0%" in out
    recon("container", "--updater", "--sharding")
