"""`python -m tracker doctor`: look at everything that can be wrong, and say what to do about it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence

from tracker.checkout import REGISTRY, chosen_weights
from tracker.doctor import files, graphics, packages, round_trip
from tracker.doctor.finding import FAIL, NOTE, Finding
from tracker.resident.places import PlaceError, runtime_folder

Check = Callable[[], Finding | Sequence[Finding]]


def checks(trackers: Sequence[str], round_trips: bool = True) -> dict[str, Check]:
    """The checks in their order; every tracker named must be listed, and gets a round trip."""
    table: dict[str, Check] = {
        "packages": packages.check_packages,
        "gpu": graphics.check_gpu,
        "weights": lambda: files.check_weights(chosen_weights()),
        "registry": lambda: files.check_registry(REGISTRY, trackers),
        "resident server": files.check_runtime_folder,
    }
    for name in trackers if round_trips else ():
        table[f"round trip {name}"] = lambda name=name: round_trip.check_round_trip(
            name, REGISTRY, log=_logs()
        )
    return table


def examine(table: dict[str, Check]) -> Iterator[Finding]:
    """Run the checks; one that fails itself is a finding too, and the others still run."""
    for name, check in table.items():
        try:
            found = check()
        except Exception as error:
            text = f"the check itself failed: {type(error).__name__}: {error}"
            found = Finding(name, FAIL, text, "please report this line")
        yield from [found] if isinstance(found, Finding) else found


def _logs() -> str:
    try:
        return str(runtime_folder() / "*.log")
    except PlaceError:
        return ""


def main(argv: list[str]) -> int:
    """The command; returns 1 when something fails, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tracker doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--tracker", action="append", metavar="NAME", help="a section of trackers.ini (HQTrack)"
    )
    parser.add_argument(
        "--no-round-trip", action="store_true", help="load no models: skip the TraX session"
    )
    args = parser.parse_args(argv)
    table = checks(args.tracker or ["HQTrack"], not args.no_round_trip)
    findings = []
    for finding in examine(table):
        findings.append(finding)
        if not args.json:
            print(finding, flush=True)
    states = [finding.state for finding in findings]
    if args.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        failed, noted = states.count(FAIL), states.count(NOTE)
        print(f"\n{len(states)} checked: {failed} failed, {noted} notes")
    return 1 if FAIL in states else 0
