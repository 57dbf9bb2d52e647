"""`swiftish serve`: a whole Swift on one machine."""

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

from swiftish import __version__
from swiftish.cli.onenode import SETTINGS_FILE, Node, Unusable, lock, open_node, server_settings
from swiftish.cli.wiring import fresh_cache_path, proxy_child, workers_child
from swiftish.runtime.logs import configure
from swiftish.runtime.process import CannotListen, Child, Supervisor, listen, with_only
from swiftish.runtime.settings import BadSettings, Table, merge, read_toml

HELP = "serve the whole of Swift on this machine, from one data folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="DIR",
        default="./swiftish-data",
        help="where everything is kept (%(default)s)",
    )
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
    parser.add_argument("--config", metavar="FILE", help="a settings file (TOML)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop.  Returns the exit code; what is wrong is said in one sentence."""
    try:
        return _serve(arguments)
    except (Unusable, BadSettings, CannotListen) as error:
        print(f"swiftish: {error}", file=sys.stderr)
        return 1


def _serve(arguments: argparse.Namespace) -> int:
    data = Path(arguments.data).absolute()
    config = Path(arguments.config).absolute() if arguments.config else None
    command_line = _command_line(arguments)
    users = [_user(text) for text in arguments.user]
    held = lock(data)  # until this process ends

    def above() -> Table:
        return merge(read_toml(config) if config else {}, command_line)

    # Before anything is made: the port may be in use.
    early = server_settings(data, above(), source=config)
    host, port = _address(early.bind)
    sockets = listen(host, port, count=early.workers or os.cpu_count() or 1)
    port = sockets[0].getsockname()[1]
    node = open_node(data, above(), source=config, users=users)
    configure(early.log_level)
    cache_path = fresh_cache_path(data)

    def children() -> list[Child]:
        current = open_node(data, above(), source=config, users=users)
        serving = [
            with_only(proxy_child(current, sock, cache_path=cache_path), sock, sockets)
            for sock in sockets
        ]
        return [*serving, with_only(workers_child(current), None, sockets)]

    def on_ready() -> None:
        print(_welcome(node, host, port), flush=True)
        print(f"ready {_auth_url(host, port)}", flush=True)

    try:
        return Supervisor(children, on_ready, sockets, drain_timeout_s=early.drain_timeout_s).run()
    finally:
        shutil.rmtree(cache_path.parent, ignore_errors=True)
        os.close(held)


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


def _address(bind: str) -> tuple[str, int]:
    host, colon, port = bind.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) < 65536):
        raise BadSettings(f"server.bind: {bind!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _auth_url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (only compared)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/auth/v1.0"


def _welcome(node: Node, host: str, port: int) -> str:
    """How to reach the server: on the first start in lines that can be pasted, key and all."""
    url = _auth_url(host, port)
    cluster = node.settings.cluster
    head = (
        f"swiftish {__version__} keeps its data in {node.data} "
        f"(devices: {cluster.devices}, replicas: {cluster.replicas})"
    )
    tempauth = node.settings.auth.tempauth
    if not (node.first_start and tempauth.user):
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
