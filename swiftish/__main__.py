"""`python -m swiftish`: the same as the command `swiftish`."""

from swiftish.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
