"""How `swiftish ring` is spoken to, and how it answers: order, help, JSON, errors."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import random
import shlex
import signal
import sys
import threading
from pathlib import Path

import pytest

from swiftish.cli import ring_command
from swiftish.cli.main import main as swiftish
from swiftish.cli.ring import COMMANDS, main, split
from swiftish.cli.ring_command import BadUsage
from swiftish.ring import builder_file
from swiftish.ring.builder import Builder
from tests.unit.cli.rings import THREE, Operator


@pytest.mark.parametrize(
    ("line", "command", "rest"),
    [
        ("", "", ""),
        ("--help", "", ""),
        ("b", "default", "b"),
        ("b --json", "default", "b --json"),
        ("b add x 1", "add", "b x 1"),
        ("add b x 1", "add", "b x 1"),
        ("--json b add x 1", "add", "--json b x 1"),
        ("b --yes remove d1", "remove", "b --yes d1"),
        ("show --svg out.svg b", "show", "--svg out.svg b"),
        ("b show", "show", "b"),
        ("show", "show", ""),
        ("show add", "add", "show"),
        ("b --seed 5 rebalance", "rebalance", "b --seed 5"),
        ("nodes b show", "nodes", "b show"),
    ],
)
def test_the_command_is_found(line: str, command: str, rest: str) -> None:
    """After the file as in Swift, before it as elsewhere; a file may be called like a command."""
    assert split(line.split()) == (command, rest.split())


@pytest.mark.parametrize("line", ["b ad", "b ad remove", "b rebalanc --json", "--nothing"])
def test_what_is_no_command_is_said(line: str) -> None:
    """Nothing is guessed from the words behind it."""
    with pytest.raises(BadUsage):
        split(line.split())


def test_both_orders_do_the_same(operator: Operator) -> None:
    operator.done("create a.builder 4 3 1", "b.builder create 4 3 1")
    operator.done("add a.builder z1-10.0.0.1:1/a 1", "b.builder add z1-10.0.0.1:1/a 1")
    one, other = (operator.json(line) for line in ("search a.builder d0", "b.builder search d0"))
    assert one == other


def test_the_builder_and_its_ring_stand_for_each_other(with_ring: Operator) -> None:
    """And a builder may have any name."""
    by_ring, by_builder = with_ring.json("object.ring.gz"), with_ring.json("object.builder")
    assert by_ring == by_builder
    with_ring.done("plain create 4 1 1", "plain add z1-10.0.0.1:1/a 1", "plain rebalance")
    assert (with_ring.folder / "plain.ring.gz").exists()


def test_help_names_every_command(operator: Operator) -> None:
    for line in ("", "--help"):
        text = operator.done(line).out
        assert all(f"\n  {name} " in text for name in COMMANDS)
        assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, operator: Operator) -> None:
    """Asked for in any order, without a file."""
    for line in (f"{name} --help", f"b {name} -h"):
        text = operator.done(line).out
        assert text.startswith(f"usage: ring {name}")
        assert COMMANDS[name].help in " ".join(text.split()).replace(". ", ".  ")


@pytest.mark.parametrize(
    ("line", "usage"),
    [
        ("--json --help", "ring FILE"),
        ("--help --json", "ring FILE"),
        ("--json", "ring FILE"),
        ("b --json --help", "ring default"),
        ("search --json --help", "ring search"),
        ("b search d0 -h --json", "ring search"),
    ],
)
def test_help_is_no_document(operator: Operator, line: str, usage: str) -> None:
    """Who asks for it is a person."""
    assert operator.done(line).out.startswith(f"usage: {usage}")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_fails_in_a_sentence(name: str, operator: Operator) -> None:
    """Without its file, and with JSON as a document."""
    missing = operator.folder / "no" / "such.builder"
    words = " ".join("1" for each in COMMANDS[name].arguments if _is_needed(each.names[0], name))
    sentence = operator.refused(f"{missing} {name} {words}")
    assert sentence.startswith(f"{operator.folder}/no") or sentence.endswith(f"{name} --help")
    found = operator.json(f"{missing} {name} {words}")
    assert (found["command"], found["status"], bool(found["error"])) == (name, 2, True)


def _is_needed(name: str, command: str) -> bool:
    return not name.startswith("-") and command not in {"nodes", "rebalance"}


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("object.builder serach d0", "no command 'serach'"),
        ("object.builder create 4 3", "the following arguments are required"),
        ("object.builder create 4 3 1 5", "unrecognized arguments: 5"),
        ("object.builder create four 3 1", "the partition power must be a whole number"),
        ("object.builder set_replicas x", "the number of replicas must be a number"),
        ("object.builder set_overload 10%%", "the overload must be a number"),
        ("object.builder search --id x", "invalid int value"),
        ("object.builder search", "say which devices"),
        ("object.builder search ''", "an empty search"),
        ("object.builder search d0 --id 0", "not both"),
        ("object.builder search d0x", "character 3"),
        ("object.builder rebalance --format-version 3", "invalid choice"),
        ("object.builder show --width 0", "--width"),
        ("object.builder dispersion (", "is no pattern"),
        ("object.builder set_min_part_hours 256", "between 0 and 255"),
        ("object.builder write_builder", "is there already"),
        ("object.builder import object.builder", "is there already"),
        ("object.builder search -node5", "if -node5 is a search and no option, write -- before it"),
        ("object.builder set_weight -10.0.0.1 5", "if -10.0.0.1 is a search"),
        ("object.builder remove -host", "if -host is a search"),
        ("object.builder search -zebra", "if -zebra is a search"),
    ],
)
def test_mistakes_are_told(with_ring: Operator, line: str, hint: str) -> None:
    """With the path of the file, or with where the help is."""
    sentence = with_ring.refused(line)
    assert hint in sentence
    assert sentence.startswith(f"{with_ring.folder}/object.") or sentence.endswith(" --help")


def test_only_what_looks_like_a_search_is_taken_for_one(with_ring: Operator) -> None:
    for line in ("search --noode", "search -z x", "search -z1 -r x", "search -- -node5 --noode"):
        assert "write --" not in with_ring.refused(f"object.builder {line}")
    with_ring.done("object.builder set_info d0 node5:6200", "object.builder search -- -node5")


def test_what_is_no_builder_is_left_alone(operator: Operator) -> None:
    for name, data in (("b.builder", b"junk"), ("c.builder", b""), ("d.builder", bytes(100))):
        (operator.folder / name).write_bytes(data)
        for command in ("", "create 4 3 1", "rebalance", "search d0"):
            assert str(operator.folder / name) in operator.refused(f"{name} {command}")
    (operator.folder / "e.builder").mkdir()
    assert "e.builder" in operator.refused("e.builder create 4 3 1")


def test_odd_characters_are_no_trouble(operator: Operator) -> None:
    """A name that is not UTF-8 in a path, and a device that would clear the screen."""
    assert "\\udce4" in operator.refused("b\udce4.builder search d0")
    operator.done("b create 4 1 1", "b add 'z1-10.0.0.1:1/a_\x1b[2J磁盘' 1")
    text = operator.done("b").out
    assert "\\x1b[2J磁盘" in text
    assert "\x1b" not in text
    lines = ("set_info d0 _\x1b[2J", "remove d0", "set_weight d0 1", "dispersion", "search d9")
    for line in lines:
        answer = operator.run(f"b {line}")
        assert "\x1b" not in answer.out + answer.err
    operator.done("b add z1-10.0.0.2:1/a 1")
    asked = operator.run("b set_weight r1 5", typed="y\n")
    assert "/a_\\x1b[2J\n" in asked.err
    folder = operator.folder / "\x1b[2J"
    folder.mkdir()
    assert "\x1b" not in operator.done(f"'{folder}/b' create 4 1 1", f"'{folder}/b' show").out


def test_warnings_are_on_standard_error_and_in_json(operator: Operator) -> None:
    operator.done("b create 4 3 1")
    answer = operator.run("b set_overload 10")
    assert answer.status == 1
    assert f"warning: {operator.folder}/b: 10 is an overload of 1000.00 %" in answer.err
    found = operator.run("b set_overload 10 --json").document
    assert found["warnings"]
    assert found["overload"] == 10


def test_a_reader_that_has_enough_is_no_error(
    with_ring: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    assert main([str(with_ring.folder / "object.builder")], prog="ring") == 0


class Full(io.StringIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("rebalance", 1, ["saved all the same: {0}/b.builder, {0}/b.ring.gz"]),
        ("set_weight d0 5 --json", 1, ["saved all the same: {0}/b.builder"]),
        ("show --svg b.svg", 1, ["saved all the same: {0}/b.svg"]),
        ("create 4 1 1", 1, ["saved all the same: {0}/b.builder", "b.builder: replaced"]),
        ("search d0", 2, []),
        ("search d9 --json", 2, ["no device matches"]),
        ("--help", 2, []),
    ],
)
def test_output_that_is_lost_undoes_nothing(
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    status: int,
    said: list[str],
) -> None:
    """What was saved is said on standard error; without that, nothing has been done."""
    operator.done("b.builder create 4 3 1", f"b.builder {THREE}")
    before = operator.contents()
    monkeypatch.setattr(sys, "stdout", Full())
    assert main(["b.builder", *line.split()], prog="ring") == status
    text = capsys.readouterr().err
    assert "ring: standard output can't be written: No space left on device" in text
    assert all(each.format(operator.folder) in text for each in said)
    assert (operator.contents() != before) == (status == 1)


def test_what_can_not_be_said_is_no_error(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.done("b create 4 3 1")
    monkeypatch.setattr(sys, "stderr", Full())
    assert main(["b"], prog="ring") == 0
    assert main(["b", "search", "d0"], prog="ring") == 2


def test_a_ring_that_is_not_written_does_not_hide_the_builder(operator: Operator) -> None:
    operator.done("b.builder create 4 3 1", f"b.builder {THREE}")
    (operator.folder / "b.ring.gz").mkdir()
    answer = operator.run("b.builder rebalance")
    assert answer.status == 2
    assert "b.ring.gz can't be written: it is a folder; saved all the same: " in answer.err
    assert f"{operator.folder}/b.builder\n" in answer.err
    assert operator.json("b.builder")["ring"]["state"] == "unreadable"


# ---- waiting and giving up -------------------------------------------------------------------


def test_who_waits_for_another_says_so(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, with who it is and what they hold."""
    operator.done("b create 4 3 1")
    monkeypatch.setattr(builder_file, "LOCK_PATIENCE_S", 0.0)
    lock = operator.folder / ".lock"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        threading.Timer(0.2, fcntl.flock, (held, fcntl.LOCK_UN)).start()
        answer = operator.run("b set_replicas 2")
    assert answer.status == 0
    assert answer.err == f"ring: waiting for process {os.getpid()}, which holds {lock}\n"
    monkeypatch.setattr(Path, "read_text", lambda *_: "nothing that can be read")
    assert ring_command.holder_of(lock) == "another process"


def test_ctrl_c_is_a_sentence(with_ring: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a question, where nothing is saved yet."""

    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    before = with_ring.contents()
    monkeypatch.setattr(ring_command, "load_builder", interrupted)
    answer = with_ring.run("object.builder remove d0")
    assert (answer.status, answer.out, answer.err) == (130, "", "ring: interrupted\n")
    assert with_ring.contents() == before


def test_ctrl_c_waits_for_a_file_to_be_saved(
    with_ring: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is said which file that was."""

    def interrupted(path: Path, builder: Builder, *, now: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        builder_file.save_builder(path, builder, now=now)

    ring = (with_ring.folder / "object.ring.gz").read_bytes()
    monkeypatch.setattr(ring_command, "save_builder", interrupted)
    answer = with_ring.run("object.builder rebalance --force")
    path = with_ring.folder / "object.builder"
    assert answer.status == 130
    assert answer.err == f"ring: interrupted; saved all the same: {path}\n"
    assert (with_ring.folder / "object.ring.gz").read_bytes() == ring
    assert with_ring.json("object.builder")["ring"]["state"] == "obsolete"


def test_it_is_a_command_of_swiftish(
    with_ring: Operator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(with_ring.folder / "object.builder")
    assert swiftish(["ring", "search", path, "d0", "--json"]) == 0
    assert [d["id"] for d in json.loads(capsys.readouterr().out)["devices"]] == [0]
    with pytest.raises(SystemExit):
        swiftish(["--help"])
    assert "ring" in capsys.readouterr().out


def test_no_line_of_words_is_a_crash(with_ring: Operator, chance: random.Random) -> None:
    """Whatever is typed: an exit code of the three, and after a 2 the files are as they were."""
    values = [
        "d0",
        "d9",
        "z1",
        "10.0.0.2",
        ":6200",
        "_n",
        "[::1]",
        "-1",
        "0",
        "0.5",
        "2",
        "10%",
        "nan",
        "x",
        "/",
        "r1z1-10.0.0.9:1/a",
    ]
    flags = [
        "--yes",
        "--force",
        "--json",
        "-v",
        "--id",
        "--weight",
        "--change-ip",
        "--settings",
        "--seed",
        "-p",
        "-h",
    ]
    commands = [name for name in COMMANDS if name != "analyze"]
    for _ in range(400):
        count = chance.randrange(4)
        words = [chance.choice(chance.choice((values, values, flags))) for _ in range(count)]
        file = chance.choice(("object.builder", "object.ring.gz", "other.builder"))
        line = shlex.join([file, chance.choice(commands), *words])
        before = with_ring.contents()
        answer = with_ring.run(line, typed=chance.choice(("", "y\n")))
        assert answer.status in {0, 1, 2}, line
        if answer.status == 2:
            assert with_ring.contents() == before, line
