"""`swiftish <command>`: the table of commands."""

import argparse
from collections.abc import Sequence

from swiftish import __version__
from swiftish.cli import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.  Returns the exit code: 0 done, 1 refused with a sentence, 2 bad usage."""
    parser = argparse.ArgumentParser(
        prog="swiftish", description="An object storage server that speaks OpenStack Swift's API."
    )
    parser.add_argument("--version", action="version", version=f"swiftish {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    command = commands.add_parser("serve", help=serve.HELP, description=serve.HELP)
    serve.add_arguments(command)
    command.set_defaults(run=serve.run)
    parsed = parser.parse_args(arguments)
    result = parsed.run(parsed)
    assert isinstance(result, int)
    return result


if __name__ == "__main__":
    raise SystemExit(main())
