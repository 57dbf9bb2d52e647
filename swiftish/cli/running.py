"""How commands find the node that they are about: a data folder, or a cluster node's settings."""

import argparse
import hashlib
import os
import shutil
from pathlib import Path

from swiftish.cli.node import Node, Unusable, is_cluster_node, open_cluster_node
from swiftish.cli.onenode import SETTINGS_FILE, open_node
from swiftish.runtime.settings import Table, read_toml

DATA_DEFAULT = "./swiftish-data"


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """`--config` and `--data`, as `serve` has them."""
    parser.add_argument(
        "--config", metavar="FILE", help="a settings file (TOML); with [services], of a cluster"
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        default=DATA_DEFAULT,
        help="the folder of a server on one machine (%(default)s)",
    )


def node_of(arguments: argparse.Namespace) -> Node:
    """The node that the arguments name; nothing is made.  Raises BadSettings, Unusable."""
    config, table = config_of(arguments)
    if config is not None and is_cluster_node(table):
        return open_cluster_node(table, config, run=run_folder)
    data = Path(arguments.data).absolute()
    if not (data / SETTINGS_FILE).exists():
        raise Unusable(f"{data} is no data folder of swiftish: it has no {SETTINGS_FILE}")
    return open_node(data, table, source=config, users=[], run=run_folder(data)).node


def run_folder_of(arguments: argparse.Namespace) -> Path:
    """The run folder of the node that the arguments name.  Raises BadSettings."""
    config, table = config_of(arguments)
    if config is not None and is_cluster_node(table):
        return open_cluster_node(table, config, run=run_folder).run
    return run_folder(Path(arguments.data).absolute())


def config_of(arguments: argparse.Namespace) -> tuple[Path | None, Table]:
    """The settings file that was named, if any, and what it says.  Raises BadSettings."""
    if not arguments.config:
        return None, {}
    config = Path(arguments.config).absolute()
    return config, read_toml(config)


def run_folder(state: Path) -> Path:
    """Where the processes that serve a data or state folder share what need not last."""
    name = hashlib.sha256(os.fsencode(state)).hexdigest()[:16]
    memory = Path("/dev/shm")  # noqa: S108  (the name is ours, the folder 0700)
    root = memory if os.access(memory, os.W_OK) else state
    return root / f"swiftish-{os.getuid()}-{name}"


def fresh_run_folder(state: Path) -> Path:
    """The run folder, made anew and empty."""
    folder = run_folder(state)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder
