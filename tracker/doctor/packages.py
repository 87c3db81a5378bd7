"""The interpreter, the packages that are needed, and versions that belong together."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from tracker.checkout import ROOT
from tracker.doctor.finding import FAIL, NOTE, OK, Finding

REQUIREMENTS = ROOT / ".ci" / "requirements.txt"
LEAST_PYTHON = (3, 11)
SETUP = "make setup"
IMPORT_SECONDS = 300

MODULES = {
    "numpy": "numpy",
    "opencv-python": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "safetensors": "safetensors",
    "segment-anything-hq": "segment_anything_hq",
    "timm": "timm",
    "torch": "torch",
    "torchvision": "torchvision",
    "tqdm": "tqdm",
    "vot-trax": "trax",
    "vot-toolkit": "vot",
}
"""Package -> the module that is imported, in the order in which they need each other."""

EXACT = {
    "attributee": "other versions break `import vot`",
    "vot-toolkit": "its faults are worked around one by one",
    "vot-trax": "its protocol was measured with this version",
}
"""Packages that must have the pinned version, and why."""

OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
"""Packages that all install the same module, cv2."""

_IMPORTER = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    print(json.dumps([name, None]), flush=True)
    try:
        importlib.import_module(name)
        print(json.dumps([name, ""]), flush=True)
    except BaseException as error:
        print(json.dumps([name, f"{type(error).__name__}: {error}"]), flush=True)
"""

_TORCH = re.compile(r"torch\s*\(?(==|>=)\s*([0-9.]+)")
Versions = Callable[[str], str | None]


def installed(name: str) -> str | None:
    """The version of a package, None when it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_interpreter(version: Sequence[int] = sys.version_info) -> Finding:
    """Whether this Python is new enough."""
    text = f"{'.'.join(map(str, version[:3]))} at {sys.executable}"
    if tuple(version[:2]) >= LEAST_PYTHON:
        return Finding("python", OK, text)
    least = ".".join(map(str, LEAST_PYTHON))
    remedy = f"Python {least} or newer: make PYTHON3=/path/to/python3 setup"
    return Finding("python", FAIL, text, remedy)


def read_pins(path: Path = REQUIREMENTS) -> dict[str, str]:
    """Package -> pinned version; empty when there is no such file (an installed package)."""
    if not path.is_file():
        return {}
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", path.read_text(), flags=re.MULTILINE))


def check_versions(pins: Mapping[str, str], version_of: Versions = installed) -> list[Finding]:
    """Pinned packages that are missing or have another version; one line when all are right."""
    findings = []
    for name, pin in pins.items():
        version = version_of(name)
        if version is None:
            needed = name in MODULES or name in EXACT
            findings.append(Finding(name, FAIL if needed else NOTE, "is not installed", SETUP))
        elif version.partition("+")[0] != pin:
            reason = f": {EXACT[name]}" if name in EXACT else ""
            state = FAIL if name in EXACT else NOTE
            findings.append(Finding(name, state, f"{version}, tested with {pin}{reason}", SETUP))
    if not findings:
        findings.append(Finding("packages", OK, f"{len(pins)} packages have the tested versions"))
    return findings


def check_opencv(version_of: Versions = installed) -> Finding:
    """Exactly one package may install the module cv2."""
    found = [f"{name} {version}" for name in OPENCV if (version := version_of(name))]
    if len(found) == 1:
        return Finding("opencv", OK, found[0])
    if not found:
        return Finding("opencv", FAIL, "is not installed", SETUP)
    names = " ".join(entry.split()[0] for entry in found)
    remedy = f"python -m pip uninstall {names}, then {SETUP}"
    return Finding("opencv", FAIL, f"several share one module: {', '.join(found)}", remedy)


def check_torch_pair(version_of: Versions = installed) -> Finding:
    """torchvision is built for certain versions of torch, which it names."""
    torch, vision = version_of("torch"), version_of("torchvision")
    if torch is None or vision is None:
        return Finding("torch", FAIL, "torch or torchvision is not installed", SETUP)
    text = f"torch {torch} with torchvision {vision}"
    wanted = next((line for line in _requirements("torchvision") if _TORCH.match(line)), "")
    if wanted and not allows(wanted, torch):
        return Finding("torch", FAIL, f"{text}, which asks for {wanted}", SETUP)
    return Finding("torch", OK, text)


def allows(requirement: str, version: str) -> bool:
    """Whether a requirement of the form `torch (>=2.14)` or `torch==2.14` takes a version."""
    found = _TORCH.match(requirement)
    if found is None:
        return True
    wanted, given = (_numbers(text) for text in (found[2], version.partition("+")[0]))
    return given >= wanted if found[1] == ">=" else given == wanted


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _requirements(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def check_imports(modules: Mapping[str, str] = MODULES, python: str = sys.executable) -> Finding:
    """Whether the modules can be imported, in another process, which may even crash."""
    names = json.dumps(list(modules.values()))
    try:
        done = subprocess.run(
            [python, "-c", _IMPORTER, names],
            capture_output=True, text=True, timeout=IMPORT_SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("imports", FAIL, f"{error}", SETUP)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    outcomes = dict(lines)
    failed = [f"{name}: {text.splitlines()[0]}" for name, text in outcomes.items() if text]
    failed += [
        f"{name}: importing it ended Python with status {done.returncode}"
        for name, text in outcomes.items()
        if text is None
    ]
    if failed or len(outcomes) < len(modules):
        return Finding("imports", FAIL, "; ".join(failed) or done.stderr.strip()[-300:], SETUP)
    return Finding("imports", OK, f"{len(outcomes)} packages can be imported")


def check_packages() -> list[Finding]:
    """Everything about the interpreter and the packages."""
    return [
        check_interpreter(),
        *check_versions(read_pins()),
        check_opencv(),
        check_torch_pair(),
        check_imports(),
    ]
