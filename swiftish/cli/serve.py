"""`swiftish serve`: a whole Swift on one machine, or a node of a cluster."""

import argparse
import logging
import os
import secrets
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from swiftish import __version__
from swiftish.cli.node import (
    KINDS,
    Node,
    Unusable,
    findings,
    is_cluster_node,
    open_cluster_node,
    parse_address,
)
from swiftish.cli.onenode import SETTINGS_FILE, OneNode, lock, open_node, server_settings
from swiftish.cli.running import add_node_arguments, config_of, fresh_run_folder, run_folder
from swiftish.cli.settings import ServerSettings, Service
from swiftish.cli.wiring import serving_child, workers_child
from swiftish.runtime.logs import configure
from swiftish.runtime.process import CannotListen, Child, Supervisor, listen, with_only
from swiftish.runtime.settings import BadSettings, Table, merge, read_toml
from swiftish.runtime.status import SERVING_FILE, write_status

log = logging.getLogger(__name__)

HELP = "serve the whole of Swift on this machine from one data folder, or a node of a cluster"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_node_arguments(parser)
    parser.add_argument("--bind", metavar="HOST:PORT", help="where to listen (127.0.0.1:8080)")
    parser.add_argument(
        "--workers", metavar="N", type=int, help="serving processes (one for each core)"
    )
    parser.add_argument(
        "--devices", metavar="N", type=int, help="device folders, on the first start (1)"
    )
    parser.add_argument(
        "--replicas", metavar="N", type=int, help="copies of everything, on the first start (1)"
    )
    parser.add_argument(
        "--user",
        metavar="ACCOUNT:USER:KEY[:GROUP...]",
        action="append",
        default=[],
        help="a user; may be given several times (a user with a random key is made when none is)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop.  Returns the exit code; what is wrong is said in one sentence."""
    try:
        return _serve(arguments)
    except (Unusable, BadSettings, CannotListen) as error:
        print(f"swiftish: {error}", file=sys.stderr)
        return 1


def _serve(arguments: argparse.Namespace) -> int:
    config, table = config_of(arguments)
    if config is not None and is_cluster_node(table):
        return _serve_cluster_node(arguments, config, table)
    return _serve_data(arguments, config)


def _serve_data(arguments: argparse.Namespace, config: Path | None) -> int:
    """The whole of Swift on one machine."""
    data = Path(arguments.data).absolute()
    command_line = _command_line(arguments)
    users = [_user(text) for text in arguments.user]
    held = lock(data)  # until this process ends

    def above() -> Table:
        return merge(read_toml(config) if config else {}, command_line)

    # Before anything is made: the port may be in use.
    early = server_settings(data, above(), source=config)
    host, port = parse_address(early.bind, setting="server.bind")
    count = early.workers or os.cpu_count() or 1
    sockets = listen(host, port, count=count)
    port = sockets[0].getsockname()[1]
    first = open_node(data, above(), source=config, users=users)
    configure(early.log_level)
    run = fresh_run_folder(data)
    _say_where(run, {"proxy": f"{host}:{port}"})

    def node() -> Node:
        return open_node(data, above(), source=config, users=users, run=run).node

    def on_ready() -> None:
        print(_welcome(first, host, port), flush=True)
        print(f"ready {_auth_url(host, port)}", flush=True)

    own: list[dict[Service, socket.socket]] = [{"proxy": sock} for sock in sockets]
    try:
        return _supervise(node, own, on_ready, early)
    finally:
        shutil.rmtree(run, ignore_errors=True)
        os.close(held)


def _serve_cluster_node(arguments: argparse.Namespace, config: Path, table: Table) -> int:
    """Those services of a cluster that the settings name."""
    for option in ("bind", "devices", "replicas", "user"):
        if getattr(arguments, option):
            raise BadSettings(
                f"--{option} is for a server on one machine; {config} describes a node of a "
                "cluster ([services])"
            )
    workers = {} if arguments.workers is None else {"server": {"workers": arguments.workers}}
    first = open_cluster_node(merge(table, workers), config, run=run_folder)
    state = config.parent / first.settings.node.state
    held = lock(state)
    server = first.settings.server
    own: list[dict[Service, socket.socket]] = []
    addresses: dict[Service, str] = {}
    for service, bind in first.listens.items():
        host, port = parse_address(bind, setting=f"services.{service}")
        sockets = listen(host, port, count=server.workers or os.cpu_count() or 1)
        own = own or [{} for _ in sockets]
        for each, sock in zip(own, sockets, strict=True):
            each[service] = sock
        addresses[service] = f"{host}:{sockets[0].getsockname()[1]}"
    configure(server.log_level)
    run = fresh_run_folder(state)
    _say_where(run, addresses)

    def node() -> Node:
        found = open_cluster_node(merge(read_toml(config), workers), config, run=run_folder)
        if found.listens != first.listens:
            raise Unusable(f"{config}: services can't be moved while they run; restart the node")
        return found

    def on_ready() -> None:
        for sentence in findings(first):
            log.warning(sentence)
        print(f"swiftish {__version__} serves {config}", flush=True)
        said = " ".join(f"{service}={address}" for service, address in addresses.items())
        print(f"ready {said}", flush=True)

    try:
        return _supervise(node, own, on_ready, server)
    finally:
        shutil.rmtree(run, ignore_errors=True)
        os.close(held)


def _supervise(
    node: Callable[[], Node],
    own: Sequence[dict[Service, socket.socket]],
    on_ready: Callable[[], None],
    settings: ServerSettings,
) -> int:
    """Serve with as many processes as `own` has sets of sockets, and one for the workers."""
    sockets = [sock for each in own for sock in each.values()]

    def children() -> list[Child]:
        current = node()
        serving = [
            with_only(serving_child(current, each), list(each.values()), sockets) for each in own
        ]
        if not current.settings.services.workers or not set(KINDS) & set(current.listens):
            return serving
        return [*serving, with_only(workers_child(current), [], sockets)]

    return Supervisor(children, on_ready, sockets, drain_timeout_s=settings.drain_timeout_s).run()


def _say_where(run: Path, listens: Mapping[Service, str]) -> None:
    """For those who look for the node's ports, and to tell this start from others."""
    write_status(run / SERVING_FILE, {"id": secrets.token_hex(8), "listens": listens})


def _command_line(arguments: argparse.Namespace) -> Table:
    """The options as a settings table."""
    cluster = {"devices": arguments.devices, "replicas": arguments.replicas}
    server = {"bind": arguments.bind, "workers": arguments.workers}
    return {
        section: {name: value for name, value in values.items() if value is not None}
        for section, values in (("cluster", cluster), ("server", server))
    }


def _user(text: str) -> Table:
    account, _, rest = text.partition(":")
    user, _, rest = rest.partition(":")
    key, *groups = rest.split(":")
    if not (account and user and key):
        raise BadSettings(f"--user {text!r}: write ACCOUNT:USER:KEY, then :GROUP for each group")
    return {"account": account, "user": user, "key": key, "groups": [g for g in groups if g]}


def _auth_url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (only compared)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/auth/v1.0"


def _welcome(opened: OneNode, host: str, port: int) -> str:
    """How to reach the server: on the first start in lines that can be pasted, key and all."""
    url = _auth_url(host, port)
    cluster = opened.node.settings.cluster
    head = (
        f"swiftish {__version__} keeps its data in {opened.data} "
        f"(devices: {cluster.devices}, replicas: {cluster.replicas})"
    )
    tempauth = opened.node.settings.auth.tempauth
    if not (opened.first_start and tempauth.user):
        return f"{head}; its users are in {SETTINGS_FILE} there"
    user = tempauth.user[0]
    name = f"{user.account}:{user.user}"
    here = Path(sys.executable).with_name("swift")
    swift = str(here) if shutil.which("swift") is None and here.exists() else "swift"
    prefix = tempauth.reseller_prefixes[0]
    account = f"{prefix}_{user.account}" if prefix else user.account
    storage = url.replace("/auth/v1.0", f"/v1/{account}")
    token = (
        f"curl -si -H X-Auth-User:{shlex.quote(name)} -H X-Auth-Key:{shlex.quote(user.key)} {url}"
        r" | tr -d '\r' | sed -n 's/^X-Auth-Token: //p'"
    )
    export = f"ST_AUTH={url} ST_USER={shlex.quote(name)} ST_KEY={shlex.quote(user.key)}"
    return f"""{head}

  auth URL  {url}

  export {export}
  {swift} upload documents /etc/os-release
  curl -H "X-Auth-Token: $({token})" {storage}
"""
