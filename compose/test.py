"""`make compose-test`: brings the lab up, loses a node, a disk and a network, watches it heal.

    python3 -m compose.test           exit code 0 when everything held, 1 when not, 2 without Docker
    python3 -m compose.test --keep    leaves the lab up at the end

Clients are at work while things break: none of their requests may fail.  After each loss the lab
must heal by itself: `swiftish recon` says that all is safe, no update waits, each object has as
many copies as its policy wants, all where the ring wants them and equal, and every byte and every
listing is as the clients remember.  Needs nothing but Python and Docker.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compose.load import CONTAINERS, Crowd, Person, Tally, log_in

HERE = Path(__file__).resolve().parent
NODES = ("n1", "n2", "n3", "n4")
REPLICAS = {0: 3, 1: 2}  # by policy, as bin/make-rings makes them
CLIENTS = 4
OBJECTS_EACH = 90
HEAL_MAX_S = 120.0
LOOK_EVERY_S = 3.0

CONFIG = ("--config", "storage.toml")


class Broken(Exception):
    """Something did not hold; the message says what."""


class NoEngine(Exception):
    """There is no Docker to run the lab; the message says why."""


# ---- the lab -------------------------------------------------------------------------------------


class Lab:
    """`docker compose` on compose.yaml, and what the nodes say."""

    def compose(
        self, *arguments: str, stdin: str | None = None, may_fail: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return self._run(
            ["docker", "compose", "--progress", "quiet", "--file", str(HERE / "compose.yaml")],
            arguments,
            stdin=stdin,
            may_fail=may_fail,
        )

    def docker(self, *arguments: str) -> str:
        return self._run(["docker"], arguments).stdout

    def _run(
        self,
        program: Sequence[str],
        arguments: Sequence[str],
        *,
        stdin: str | None = None,
        may_fail: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*program, *arguments], input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode and not may_fail:
            said = (done.stderr or done.stdout).strip()
            raise Broken(
                f"{program[-1]} {' '.join(arguments)}: exit code {done.returncode}\n{said}"
            )
        return done

    def on(self, node: str, *command: str, stdin: str | None = None) -> str:
        """What a command says inside a container."""
        return self.compose("exec", "-T", node, *command, stdin=stdin).stdout

    def container(self, service: str) -> str:
        return self.compose("ps", "--all", "--quiet", service).stdout.strip()

    def recon(self) -> Picture:
        """How all nodes are, as n1 sees it."""
        command = ("exec", "-T", "n1", "swiftish", "recon", *CONFIG, "--json")
        done = self.compose(*command, may_fail=True)
        try:
            return Picture(json.loads(done.stdout))
        except json.JSONDecodeError:
            raise Broken(f"recon: {done.stderr.strip() or done.stdout.strip()}") from None

    def census(self) -> Census:
        script = (HERE / "census.py").read_text()
        found = Census()
        for node in NODES:
            for row in json.loads(self.on(node, "python", "-", stdin=script)):
                found.add(node, *row)
        return found

    def port(self) -> int:
        """Where HAProxy listens for clients."""
        return int(self.compose("port", "haproxy", "8080").stdout.rpartition(":")[2])


def engine() -> str:
    """The engine's version and that of compose.  Raises NoEngine."""
    found = [
        _first_line("docker", "version", "--format", "{{.Server.Version}}"),
        _first_line("docker", "compose", "version", "--short"),
    ]
    return ", compose ".join(found)


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NoEngine(f"there is no command `{command[0]}`") from None
    said = (done.stderr or done.stdout) if done.returncode else done.stdout
    line = said.strip().partition("\n")[0]
    if done.returncode:
        raise NoEngine(line or f"`{' '.join(command)}` fails")
    return line


@dataclass(frozen=True)
class Picture:
    """The document of `swiftish recon --json`."""

    document: dict[str, Any]

    @property
    def facts(self) -> list[dict[str, Any]]:
        return [node["facts"] for node in self.document["nodes"] if node["facts"]]

    def of_devices(self, gauge: str) -> int:
        devices = (device for facts in self.facts for device in facts["devices"])
        return int(sum(device["gauges"].get(gauge, 0) for device in devices))

    @property
    def quarantined(self) -> int:
        devices = (device for facts in self.facts for device in facts["devices"])
        return sum(sum(device["quarantined"].values()) for device in devices)

    @property
    def strays(self) -> int:
        """Databases where they do not belong."""
        workers = (worker for facts in self.facts for worker in facts["workers"])
        gauges = (gauge for worker in workers for gauge in worker["gauges"].items())
        return int(sum(value for name, value in gauges if name.partition(" ")[0] == "strays"))

    def behind(self, moment: float) -> list[str]:
        """The replicators that have not gone through everything since then."""
        return [
            f"{worker['name']} of n{number}"
            for number, facts in enumerate(self.facts, start=1)
            for worker in facts["workers"]
            if worker["name"].endswith("-replicator") and (worker["last_pass_began"] or 0) < moment
        ]

    @property
    def is_safe(self) -> bool:
        return bool(self.document["safe"] == "yes")

    @property
    def has_settled(self) -> bool:
        """Nothing is under way any more."""
        waiting = self.of_devices("pending_updates") + self.of_devices("unreported") + self.strays
        return self.is_safe and not self.document["down"] and not waiting

    def __str__(self) -> str:
        below = ", ".join(f"{n:.0f} {kind}" for kind, n in self.document["below_replicas"].items())
        why = f" ({self.document['why']})" if self.document["why"] else ""
        return (
            f"{self.document['down']} down; safe: {self.document['safe']}{why}: {below} below; "
            f"{self.of_devices('pending_updates')} updates pending, "
            f"{self.of_devices('unreported')} reports due, {self.strays} databases astray"
        )


@dataclass
class Census:
    """All files of objects, by policy and hash: where each is, and what it is."""

    objects: dict[tuple[int, str], dict[tuple[str, str], list[str]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    misplaced: list[tuple[str, str, int]] = field(default_factory=list)

    def add(
        self,
        node: str,
        policy: int,
        partition: int,
        name: str,
        device: str,
        files: list[str],
        at_home: bool,
    ) -> None:
        self.objects[policy, name][node, device] = files
        if not at_home:
            self.misplaced.append((node, device, partition))

    @property
    def live(self) -> int:
        """How many objects there are; the others are tombstones."""
        return sum(
            any(name.endswith(".data") for files in copies.values() for name in files)
            for copies in self.objects.values()
        )

    def on(self, node: str, device: str) -> set[tuple[int, str]]:
        """What is on a device, by policy and hash."""
        return {key for key, copies in self.objects.items() if (node, device) in copies}

    def faults(self) -> Iterator[str]:
        if self.misplaced:
            yield f"{len(self.misplaced)} folders of objects are where they do not belong"
        wrong = [k for k, copies in self.objects.items() if len(copies) != REPLICAS[k[0]]]
        if wrong:
            yield f"{len(wrong)} objects do not have as many copies as they should"
        unlike = [
            key
            for key, copies in self.objects.items()
            if any(files != next(iter(copies.values())) for files in copies.values())
        ]
        if unlike:
            yield f"{len(unlike)} objects have copies that differ"


# ---- the transcript ------------------------------------------------------------------------------


class Transcript:
    """Says what happens, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def heading(self, text: str) -> None:
        print(f"\n==== {text}", flush=True)

    def say(self, text: str) -> None:
        print(f"{self.elapsed_s:6.1f} s  {text}", flush=True)


class Test:
    """The steps, in order.  Each raises Broken when something did not hold."""

    def __init__(self, lab: Lab, transcript: Transcript) -> None:
        self.lab = lab
        self.say = transcript.say
        self.heading = transcript.heading
        self.crowd: Crowd

    def run(self) -> None:
        self.bring_up()
        self.fill()
        self.lose_a_node()
        self.lose_a_disk()
        self.cut_a_network()

    # ---- steps -----------------------------------------------------------------------------------

    def bring_up(self) -> None:
        self.heading("The lab comes up")
        self.lab.compose("up", "--detach", "--wait")
        self.say("all services are healthy")
        self.crowd = Crowd(log_in("127.0.0.1", self.lab.port()), CLIENTS)

    def fill(self) -> None:
        self.heading(f"{CLIENTS} clients store {CLIENTS * OBJECTS_EACH} objects through HAProxy")
        self.crowd.make_containers()
        self.flawless(self.crowd.all_do(lambda person: person.fill(OBJECTS_EACH)))
        self.heals_since(time.time())
        self.everything_is_there()

    def lose_a_node(self) -> None:
        self.heading("A node is lost: docker kill n2, while clients are at work")
        tally = Tally()
        with self.crowd.at_work(tally):
            self.for_a_while(3)
            self.lab.compose("kill", "n2")
            self.say("n2 is gone")
            self.for_a_while(15)
            self.say(f"n1 sees: {self.lab.recon()}")
            self.lab.compose("start", "n2")
            self.say("n2 is back, and does not know what has happened since")
            self.for_a_while(5)
        self.flawless(tally)
        self.heals_since(time.time())
        self.everything_is_there()

    def lose_a_disk(self) -> None:
        self.heading("A disk is lost: d1 of n2 breaks, and an empty one takes its place")
        before = self.lab.census().on("n2", "d1")
        self.say(f"on d1 of n2: {len(before)} objects and tombstones")
        tally = Tally()
        with self.crowd.at_work(tally):
            self.lab.on("n2", "disk", "break", "d1")
            self.say("d1 of n2 answers with errors from now on")
            self.for_a_while(10)
            self.say(f"n1 sees: {self.lab.recon()}")
        self.flawless(tally)
        self.say(self.lab.on("n2", "disk", "replace", "d1").strip())
        self.lab.compose("kill", "--signal", "HUP", "n2")
        self.say("n2 is told to take it up")
        self.heals_since(time.time())
        census = self.everything_is_there()
        after = census.on("n2", "d1")
        self.say(f"on the new d1 of n2: all {len(before)}, and {len(after - before)} newer ones")
        if before - after:
            raise Broken(f"{len(before - after)} objects have not come back")

    def cut_a_network(self) -> None:
        self.heading("A network is cut: n3 reaches nobody, while clients are at work")
        container = self.lab.container("n3")
        tally = Tally()
        with self.crowd.at_work(tally):
            self.lab.docker("network", "disconnect", "swiftish_lab", container)
            self.say("n3 is cut off")
            self.for_a_while(10)
            self.say(f"n1 sees: {self.lab.recon()}")
            self.lab.docker(
                *("network", "connect", "--ip", "10.78.0.13", "--alias", "n3"),
                *("swiftish_lab", container),
            )
            self.say("n3 is connected again")
            self.for_a_while(5)
        self.flawless(tally)
        self.heals_since(time.time())
        self.everything_is_there()

    # ---- what must hold --------------------------------------------------------------------------

    def flawless(self, tally: Tally) -> None:
        self.say(f"clients: {tally}")
        if tally.failed:
            raise Broken("requests failed:\n  " + "\n  ".join(tally.examples))

    def heals_since(self, moment: float) -> None:
        """Wait until every replicator has looked at everything, and nothing is left to do."""
        began = time.monotonic()
        said = ""
        while True:
            picture = self.lab.recon()
            behind = picture.behind(moment)
            line = f"{picture}; {len(behind)} replicators have not been round"
            if line != said:
                self.say(line)
                said = line
            if picture.has_settled and not behind:
                break
            if time.monotonic() - began > HEAL_MAX_S:
                why = [*picture.document["findings"], *behind]
                raise Broken(f"not healed after {HEAL_MAX_S:.0f} s: {'; '.join(why)}")
            time.sleep(LOOK_EVERY_S)
        if picture.quarantined:
            raise Broken(f"{picture.quarantined} in quarantine")
        self.say(f"healed, {time.monotonic() - began:.0f} s after the last harm")

    def everything_is_there(self) -> Census:
        """Every byte, every listing, every copy."""
        self.flawless(self.crowd.all_do(Person.check_all))
        total = 0
        for container in CONTAINERS:
            expected, found = self.crowd.objects(container), self.crowd.listing(container)
            total += len(expected)
            if found != expected:
                lacking, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
                said = f"{len(lacking)} objects lack, {len(extra)} are too many"
                raise Broken(f"listing of {container}: {said}, or their sizes differ")
        for path in ("/AUTH_test", f"/AUTH_test/{CONTAINERS[0]}"):  # all replicas say the same?
            self.lab.on("n1", "swiftish", "explain", *CONFIG, path)
        census = self.lab.census()
        if flaws := list(census.faults()):
            raise Broken("; ".join(flaws))
        if census.live != total:
            raise Broken(f"{total} objects are listed, {census.live} are on disks")
        count, _ = self.crowd.account_says()
        if count != total:
            raise Broken(f"{total} objects are listed, and the account says {count}")
        copies = sum(map(len, census.objects.values()))
        self.say(
            f"{total} objects: every byte, every listing, every copy is as it should be "
            f"({copies} folders with the tombstones, all at home)"
        )
        return census

    def for_a_while(self, seconds: float) -> None:
        time.sleep(seconds)


# ---- the command ---------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave the lab up at the end")
    arguments = parser.parse_args()
    os.environ.setdefault("COMPOSE_IGNORE_ORPHANS", "1")
    lab, transcript = Lab(), Transcript()
    try:
        print(f"Docker {engine()}", flush=True)
    except NoEngine as error:
        print(f"compose-test: no Docker engine with compose v2: {error}", file=sys.stderr)
        return 2
    if lab.compose("ps", "--all", "--quiet").stdout.strip():
        print(
            "compose-test: the lab is up, and would lose its data: `make compose-down` first",
            file=sys.stderr,
        )
        return 2
    print("building the images", flush=True)
    lab.compose("build")
    transcript = Transcript()
    held = False
    try:
        Test(lab, transcript).run()
        held = True
    except (Broken, OSError, http.client.HTTPException) as error:
        transcript.say(f"BROKEN: {error}")
        log = HERE.parent / "compose-test.log"
        log.write_text(lab.compose("logs", "--timestamps", may_fail=True).stdout)
        transcript.say(f"the services' logs are in {log}")
    finally:
        if not arguments.keep:
            transcript.heading("The lab is taken down")
            lab.compose("down", "--volumes", "--timeout", "10", may_fail=True)
            transcript.say("down")
    print(f"\n{'Everything held.' if held else 'NOT everything held.'}", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
