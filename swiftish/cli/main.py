"""`swiftish <command>`: the table of commands."""

import argparse
import sys
from collections.abc import Sequence

from swiftish import __version__
from swiftish.cli import ring


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.  Returns the exit code: 0 done, 1 refused with a sentence, 2 bad usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["ring"]:  # its arguments come in an order that argparse does not know
        return ring.main(given[1:], prog="swiftish ring")
    from swiftish.cli import (  # noqa: PLC0415 -- the server: not for rings
        config,
        dispersion,
        explain,
        recon,
        serve,
        workers,
    )

    parser = argparse.ArgumentParser(
        prog="swiftish", description="An object storage server that speaks OpenStack Swift's API."
    )
    parser.add_argument("--version", action="version", version=f"swiftish {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    modules = {
        "serve": serve,
        "config": config,
        "workers": workers,
        "recon": recon,
        "explain": explain,
        "dispersion": dispersion,
    }
    for name, module in modules.items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    commands.add_parser("ring", help=ring.HELP, add_help=False)
    parsed = parser.parse_args(given)
    result = parsed.run(parsed)
    assert isinstance(result, int)
    return result


if __name__ == "__main__":
    raise SystemExit(main())
