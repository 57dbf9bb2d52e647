"""Our ring builder's command line does what swift-ring-builder's does: the same exit codes,
devices and numbers.  Where it does not, tests/rings/command_lines.py says why."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swiftish.cli.ring import main
from tests.rings.command_lines import SCENARIOS

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    @property
    def document(self) -> dict[str, Any]:
        found = json.loads(self.text)
        assert isinstance(found, dict)
        return found


Builder = Callable[[Path, "list[str]", str], Answer]


@pytest.fixture(scope="module")
def swift(swift_python: Path) -> Iterator[Builder]:
    """swift-ring-builder."""
    script = [swift_python, HERE / "swift_commands.py"]
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as them:
        assert them.stdin is not None
        assert them.stdout is not None
        stdin, stdout = them.stdin, them.stdout

        def run(folder: Path, arguments: list[str], answer: str) -> Answer:
            job = {"folder": str(folder), "arguments": arguments, "stdin": answer}
            print(json.dumps(job), file=stdin, flush=True)
            return Answer(**json.loads(stdout.readline()))

        yield run
        stdin.close()


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Builder:
    """swiftish ring."""

    def run(folder: Path, arguments: list[str], answer: str) -> Answer:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
            status = main([*arguments, "--json"], prog="ring-builder")
        return Answer(status, text.getvalue())

    return run


@pytest.mark.parametrize("name", SCENARIOS)
def test_exit_codes_and_devices(name: str, tmp_path: Path, swift: Builder, ours: Builder) -> None:
    """Line by line both do the same; where ours refuses, no file has changed."""
    theirs_at, ours_at = tmp_path / "theirs", tmp_path / "ours"
    theirs_at.mkdir()
    ours_at.mkdir()
    wrong = []
    for line in filter(None, SCENARIOS[name].splitlines()):
        if line.startswith("!"):
            for folder in (theirs_at, ours_at):
                subprocess.run(line[1:], shell=True, check=True, cwd=folder)  # noqa: S602 -- ours
            continue
        command, _, otherwise = line.partition("  #")
        words = shlex.split(command)
        answer = ""
        if "<" in words:
            words, answer = words[:-2], words[-1] + "\n"
        theirs = swift(theirs_at, words, answer)
        before = contents(ours_at)
        mine = ours(ours_at, words, answer)
        expected = int(otherwise[0]) if otherwise else theirs.status
        if otherwise and theirs.status == expected:
            wrong.append(f"{line}: no difference any more")
        if mine.status != expected:
            wrong.append(f"{line}: {mine.status}, not {expected}: {mine.text}")
        if mine.status == 2 and contents(ours_at) != before:
            wrong.append(f"{line}: refused, and yet a file has changed")
        if mine.status == theirs.status == 0 and words[1:2] in ([], ["default"], ["search"]):
            found = [settled(each) for each in mine.document["devices"]]
            if found != devices(theirs.text):
                wrong.append(f"{line}: {found}, not {devices(theirs.text)}")
    assert not wrong, "\n".join(wrong)


def contents(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "lock" not in path.name
    }


def test_the_tool_of_a_clone_works_with_any_python(tmp_path: Path) -> None:
    """tools/ring-builder finds what it needs, also started by a Python that has none of it."""
    tool = HERE.parents[1] / "tools" / "ring-builder"
    for python in ([], [getattr(sys, "_base_executable", sys.executable), "-I"]):
        done = subprocess.run(
            [*python, tool, "b", "create", "4", "3", "1"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert (done.returncode, "16 partitions" in done.stdout) == (0, True), done


# ---- a builder of Swift's --------------------------------------------------------------------

LAYOUTS = {
    "even": """
        b.builder create 7 3 1
        b.builder add r1z1-10.0.0.1:6200/sda 100 r1z2-10.0.0.2:6200/sda_x 100
        b.builder add r1z3-[::3]:6200R[::4]:6300/sda 100
        b.builder rebalance --seed 1
    """,
    "crowded": """
        b.builder create 8 3 0
        b.builder add r1z1-10.0.0.1:6200/sda 100 r1z1-10.0.0.2:6200/sda 100
        b.builder add r1z1-10.0.0.3:6200/sda 100 r2z3-10.0.0.4:6200/sda 30
        b.builder rebalance --seed 1
    """,
    "fractional": """
        b.builder create 8 2.25 1
        b.builder add r1z1-10.0.0.1:6200/sda 100 r1z2-10.0.0.2:6200/sda 50.5
        b.builder add r1z2-10.0.0.2:6200/sdb 70 r2z1-10.1.0.1:6200/sda 70
        b.builder set_overload 10%
        b.builder rebalance --seed 1
    """,
    "used": """
        b.builder create 8 3 0
        b.builder add r1z1-10.0.0.1:6200/sda 100 r1z1-10.0.0.1:6200/sdb 200
        b.builder add r1z2-10.0.0.2:6200/sda 100 r1z2-10.0.0.2:6200/sdb 200
        b.builder add r1z3-10.0.0.3:6200/sda 100 r1z3-10.0.0.3:6200/sdb 200
        b.builder rebalance --seed 1
        b.builder remove d1
        b.builder rebalance --seed 2
        b.builder set_weight d3 0
        b.builder rebalance --seed 3
        b.builder set_weight d4 50
        b.builder remove d2
        b.builder add r2z1-10.2.0.3:6200/sdb 200
    """,
    "empty": """
        b.builder create 4 3 1
        b.builder add r1z1-10.0.0.1:6200/sda 100 r1z2-10.0.0.2:6200/sda_x 100
    """,
    "doubling": """
        object.builder create 6 2 1
        object.builder add r1z1-10.0.0.1:6200/sda 100 r1z2-10.0.0.2:6200/sda_x 100
        object.builder rebalance --seed 1
        object.builder prepare_increase_partition_power
        object.builder increase_partition_power
    """,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_imported_builder_says_the_same(
    layout: str, tmp_path: Path, swift: Builder, ours: Builder
) -> None:
    """Tables, searches, partitions, dispersion: number by number."""
    theirs_at, ours_at = tmp_path / "theirs", tmp_path / "ours"
    theirs_at.mkdir()
    name = ""
    for line in filter(None, map(str.strip, LAYOUTS[layout].splitlines())):
        name = line.split()[0]
        assert swift(theirs_at, line.split(), "").status < 2
    shutil.copytree(theirs_at, ours_at)
    (ours_at / name).rename(ours_at / "old")
    assert ours(ours_at, [name, "import", "old"], "").status == 0

    def both(*arguments: str) -> tuple[Answer, dict[str, Any]]:
        theirs, mine = (run(at, [name, *arguments], "") for run, at in zip(*sides, strict=True))
        assert mine.status == theirs.status, (arguments, theirs, mine)
        return theirs, mine.document

    sides = (swift, ours), (theirs_at, ours_at)
    theirs, mine = both()
    assert [numbered(each) for each in mine["devices"]] == devices(theirs.text, numbers=True)
    assert headed(mine) == heading(theirs.text)
    for search in ("r1", "z2", "/sda", "_x", "d0", "d4", "R[::4]:6300", "10.0.0.1", ":6200"):
        theirs, mine = both("search", search)
        found = [numbered(each) for each in mine.get("devices", [])]
        assert found == devices(theirs.text, numbers=True)
        theirs, mine = both("list_parts", search)
        found = [(each["partition"], each["matches"]) for each in mine.get("partitions", [])]
        assert sorted(found) == sorted(pairs(theirs.text))
        assert [matches for _, matches in found] == [n for _, n in pairs(theirs.text)]
    for pattern in ("", "r1", r"r\d+z\d+$", "r2z1"):
        theirs, mine = both("dispersion", pattern, "-v", "--recalculate")
        if "tiers" in mine:
            # Of a fractional number of replicas Swift's shows only the partitions that have all.
            parts = 1 if layout == "fractional" else 3
            assert dispersed(mine)[:parts] == dispersion(theirs.text)[:parts]
    both("validate")


@pytest.mark.parametrize("version", ["1", "2"])
def test_swift_goes_on_with_our_ring(
    version: str, tmp_path: Path, swift: Builder, ours: Builder
) -> None:
    """Its builder from our ring says what ours says, bound to a hash prefix or not."""
    (tmp_path / "node.toml").write_text('[cluster]\nhash_prefix = "p"\n', "utf-8")
    lines = """
        object.builder create 6 2 1 --settings node.toml
        object.builder add r1z1-10.0.0.1:6200/sda 100 r1z2-[::1]:6200R10.1.0.2:6300/sda_x 100
        object.builder add r1z3-host.example:6200/sda 50
        object.builder remove d1
        object.builder add r1z3-10.0.0.3:6200/sda 70
        object.builder rebalance --seed 1 --format-version
    """
    for line in filter(None, map(str.strip, lines.splitlines())):
        last = [version] if line.endswith("-version") else []
        assert ours(tmp_path, [*line.split(), *last], "").status < 2
    theirs_at = tmp_path / "theirs"
    theirs_at.mkdir()
    shutil.copy(tmp_path / "object.ring.gz", theirs_at)
    assert swift(theirs_at, ["object.ring.gz", "write_builder", "1"], "").status == 0
    for line in ("validate", "version", "list_parts r1"):
        assert swift(theirs_at, ["object.builder", *line.split()], "").status == 0
    mine = ours(tmp_path, ["object.builder"], "").document
    theirs = swift(theirs_at, ["object.builder"], "")
    assert [numbered(each) for each in mine["devices"]] == devices(theirs.text, numbers=True)
    assert "is up-to-date" in theirs.text
    mine = ours(tmp_path, ["object.builder", "list_parts", "d0"], "").document
    theirs = swift(theirs_at, ["object.builder", "list_parts", "d0"], "")
    assert {each["partition"] for each in mine["partitions"]} == {p for p, _ in pairs(theirs.text)}


# ---- what Swift's prints ---------------------------------------------------------------------

Numbers = tuple[Any, ...]


def devices(text: str, *, numbers: bool = False) -> list[Numbers]:
    """The (id, region, zone, weight) of its tables' lines, in their order.

    With `numbers` also the partitions and the balance.
    """
    found: list[Numbers] = []
    for line in text.partition("Devices:")[2].splitlines()[1:]:
        words = line.split()
        if not (words and words[0].isdigit()):
            break
        at = next(n for n, word in enumerate(words[3:], 3) if re.fullmatch(r"\d+\.\d\d", word))
        last = at + 3 if numbers else at + 1
        found.append(tuple(map(float, (*words[:3], *words[at:last]))))
    return found


def settled(device: dict[str, Any]) -> Numbers:
    return device["id"], device["region"], device["zone"], round(device["weight"], 2)


def numbered(device: dict[str, Any]) -> Numbers:
    return *settled(device), device["parts"], pytest.approx(device["balance"], abs=0.0051)


def heading(text: str) -> Numbers:
    """Version, partitions, replicas, regions, zones, devices, balance, dispersion, overload."""
    version = re.search(r"build version (\d+)", text)
    counts = re.search(
        r"(\d+) partitions, ([\d.]+) replicas, (\d+) regions, (\d+) zones, (\d+) devices, .*?"
        r"([\d.]+) balance, ([\d.]+) dispersion",
        text,
    )
    overload = re.search(r"overload factor is .*\(([\d.]+)\)", text)
    assert version
    assert counts
    assert overload
    state = {"up-to-date": 1, "obsolete": 2, "not found": 3}
    ring = next(number for words, number in state.items() if words in text)
    return tuple(map(float, (version[1], *counts.groups(), overload[1], ring)))


def headed(document: dict[str, Any]) -> Numbers:
    names = ("version", "partitions", "replicas", "regions", "zones")
    return (
        *(document[name] for name in names),
        len(document["devices"]),
        pytest.approx(document["balance"], abs=0.0051),
        pytest.approx(document["dispersion"] or 0, abs=0.0051),
        pytest.approx(document["overload"], abs=1e-6),
        {"up to date": 1, "obsolete": 2, "missing": 3}[document["ring"]["state"]],
    )


def pairs(text: str) -> list[tuple[int, int]]:
    """Of `list_parts`."""
    found = re.findall(r"^ *(\d+) +(\d+)$", text, re.MULTILINE)
    return [(int(partition), int(matches)) for partition, matches in found]


Tiers = dict[str, Numbers]


def dispersion(text: str) -> tuple[Numbers, str, Tiers]:
    """(dispersion, balance, overload needed), the worst tier, and the table."""
    first = re.search(r"Dispersion is ([\d.]+), Balance is ([\d.]+),", text)
    needed = re.search(r"Required overload is ([\d.]+)%", text)
    worst = re.search(r"Worst tier is [\d.]+ \((.*)\)", text)
    assert first
    assert needed
    lines = re.findall(r"^(r\d\S*) +([\d. ]+)$", text, re.MULTILINE)
    tiers = {name: tuple(map(float, numbers.split())) for name, numbers in lines}
    return (float(first[1]), float(first[2]), float(needed[1])), worst[1] if worst else "", tiers


def dispersed(document: dict[str, Any]) -> tuple[Numbers, str, Tiers]:
    numbers = document["dispersion"], document["balance"], 100 * document["required_overload"]
    tiers = {
        each["tier"]: (
            each["parts"],
            pytest.approx(each["dispersion"], abs=0.0051),
            each["allowed"],
            *each["partitions_by_replicas"],
        )
        for each in document["tiers"]
        if each["parts"]  # Swift's leaves out where nothing is
    }
    return (
        tuple(pytest.approx(each, abs=2e-6) for each in numbers),
        document["worst"] or "",
        tiers,
    )


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-"])
def test_streams_that_are_closed(tmp_path: Path, closed: str) -> None:
    """Some daemons start commands without standard streams: those do their work."""
    tool = HERE.parents[1] / "tools" / "ring-builder"
    line = f'"{tool}" b create 4 3 1 {closed}'
    done = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, (tmp_path / "b").exists()) == (0, True), done.stderr
