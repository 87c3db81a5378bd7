"""The environment, the public names, light imports, and which package may import which."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tracker"
HEAVY = ("torch", "cv2", "numpy", "timm", "vot", "trax")

# Layer of each part of the package. A part imports parts of lower layers, and of its own.
LAYERS = {
    "alone": 0,
    "arguments": 0,
    "checkout": 0,
    "config": 0,
    "device": 0,
    "exits": 0,
    "labels": 0,
    "threads": 0,
    "overrides": 1,
    "weights": 1,
    "frames": 1,
    "presence": 1,
    "prompts": 1,
    "realtime": 1,
    "frames_ahead": 2,
    "stages": 2,
    "refining": 3,
    "out_of_memory": 3,
    "streaming": 3,
    "saved": 2,
    "preprocess": 2,
    "regions": 2,
    "checkpoints": 2,
    "trax_regions": 3,
    "vmos": 3,
    "refiner": 3,
    "media": 3,
    "build": 4,
    "pipeline": 5,
    "training": 6,
    "resident": 6,
    "doctor": 7,
    "folder_session": 7,
    "trax_session": 7,
    "serve": 8,
    "attach": 9,
    "folder": 10,
    "bench": 8,
    "vot": 8,
    "cli": 9,
    "view": 9,
    "web": 10,
    "__main__": 11,
}
# Modules of higher parts that import nothing of them: the toolkit's texts.
LEAVES = {"tracker.vot.regions", "tracker.vot.errors", "tracker.vot.text"}
FORBIDDEN = {"training": ("tracker.vmos.session", "tracker.serve", "tracker.pipeline")}


def _imports(path: Path) -> set[str]:
    """Full names of the modules of this project that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "tracker"}


def _part(name: str) -> str:
    pieces = name.split(".")
    return pieces[1] if len(pieces) > 1 else ""


def _files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem]


def test_every_part_has_a_layer() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in _files()}
    assert parts - {"__init__"} <= set(LAYERS)


def test_imports_run_one_way() -> None:
    wrong = []
    for path in _files():
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        for name in _imports(path):
            other = _part(name)
            if name.rpartition(".")[0] in LEAVES:
                continue
            if other != part and LAYERS.get(other, -1) >= LAYERS.get(part, 99):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            wrong += [
                f"{path.relative_to(ROOT)} imports {name}"
                for start in FORBIDDEN.get(part, ())
                if name == start or name.startswith(start + ".")
            ]
    assert not wrong, "\n".join(wrong)


def test_only_the_server_and_the_benchmarks_client_import_trax() -> None:
    users = []
    for path in _files():
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] == "trax" for name in names):
                users.append(path.relative_to(PACKAGE).as_posix())
    assert set(users) <= {"trax_session.py", "trax_regions.py", "bench/trax_client.py"}


def _loaded(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_tracker_is_light() -> None:
    assert _loaded("import tracker") == set()


@pytest.mark.parametrize("module", ["tracker.__main__", "tracker.config", "tracker.weights"])
def test_light_modules_stay_light(module: str) -> None:
    assert _loaded(f"import {module}") == set()


def test_attach_imports_nothing_heavy() -> None:
    if not (PACKAGE / "attach.py").is_file():
        pytest.skip("no attach.py yet")
    assert _loaded("import tracker.attach") == set()


def test_the_toolkit_imports_with_the_pins() -> None:
    code = "import vot, trax; print(vot.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0.9.0"


def test_pins_agree() -> None:
    from importlib.metadata import version

    lines = (ROOT / ".ci/requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    assert pins["attributee"] == "0.1.9"
    assert "opencv-python-headless" not in pins
    for name in ("attributee", "vot-toolkit", "vot-trax"):
        assert version(name) == pins[name]
    assert "-r .ci/requirements.txt" in (ROOT / "environment.yml").read_text()


def test_public_names_import() -> None:
    import tracker

    missing = {"pipeline", "config", "checkpoints", "frames", "labels"} - {
        path.stem for path in PACKAGE.glob("*.py")
    }
    if missing:
        pytest.skip(f"not written yet: {', '.join(sorted(missing))}")
    for name in tracker.__all__:
        assert getattr(tracker, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        _ = tracker.nothing


def test_the_package_is_imported_from_any_folder(tmp_path):
    asked = [sys.executable, "-c", "import tracker; print(tracker.HQTracker.__name__)"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == "HQTracker\n", done.stderr


def _is_there(name: str) -> bool:
    """Whether a dotted name is a module of this project, or stands in one."""
    path, rest = ROOT, name.split(".")
    while rest and (path / rest[0]).is_dir():
        path /= rest.pop(0)
    if rest and (path / f"{rest[0]}.py").is_file():
        text = (path / f"{rest.pop(0)}.py").read_text()
    else:
        text = (path / "__init__.py").read_text()
    return all(re.search(rf"\b{part}\b", text) for part in rest)


def test_what_texts_name_in_the_code_is_there() -> None:
    texts = [*_files(), ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "weights/README.md"]
    named = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in texts
        for name in re.findall(r"`(tracker(?:\.\w+)+)", path.read_text())
    }
    assert len(named) > 30
    assert [pair for pair in sorted(named) if not _is_there(pair[1])] == []
