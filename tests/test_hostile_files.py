"""Files and names from outside: no code of theirs runs, nothing is written or removed elsewhere."""

from __future__ import annotations

import ast
import os
import pickle
import random
import re
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.vot_data import workspace as workspace
from tracker.checkout import WEIGHTS
from tracker.checkpoints import CheckpointError, read_bundled, read_torch
from tracker.config import preset
from tracker.doctor.files import check_bundled, check_registry
from tracker.refiner import build_refiner
from tracker.vmos.loading import OFFICIAL_VMOS, load_vmos
from tracker.vot import chosen as module_chosen
from tracker.vot import evaluate, results
from tracker.vot.dataset import read_dataset
from tracker.vot.errors import VotError
from tracker.vot.workspace import Workspace

PACKAGE = Path(__file__).resolve().parents[1] / "tracker"


class Hostile:
    """Unpickling it would write a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.mark}",)


def write(path: Path, content: object, form: str) -> None:
    """As torch writes it today, as it did before 1.6, or as plain pickle."""
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("place", ["segmenter", "refiner"])
def test_a_hostile_pickle_is_refused_wherever_weights_are_loaded(
    tmp_path: Path, form: str, place: str
) -> None:
    mark = tmp_path / "mark"
    name = OFFICIAL_VMOS if place == "segmenter" else "sam_hq_vit_tiny.pth"
    write(tmp_path / name, {"state_dict": {"a": torch.zeros(2), "b": Hostile(mark)}}, form)
    with pytest.raises(CheckpointError, match=name) as refused:
        if place == "segmenter":
            load_vmos(preset("hqtrack"), tmp_path)
        else:
            build_refiner("vit_tiny", tmp_path)
    assert not mark.exists()
    assert "weights_only" not in str(refused.value), "advice to load it all the same"


def test_torch_files_are_read_in_one_place_and_without_code() -> None:
    """`torch.load` with `weights_only=True`; pickle only for the benchmark's own messages."""
    loads, pickles = [], []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            called = ast.unparse(node.func)
            if called == "torch.load":
                settings = {word.arg: ast.unparse(word.value) for word in node.keywords}
                loads.append((name, settings.get("weights_only")))
            elif called in ("pickle.load", "pickle.loads"):
                pickles.append(name)
            elif called in ("np.load", "numpy.load"):
                assert "allow_pickle=True" not in ast.unparse(node)
            assert not called.endswith((".extractall", ".unpack_archive")), f"{name} unpacks"
    assert loads == [("checkpoints.py", "True")]
    assert pickles == ["bench/served.py"]


def test_damaged_checkpoints_always_end_in_the_same_error(tmp_path: Path) -> None:
    """Bytes changed, cut out and put in: never another error, never a crash."""
    file = tmp_path / "w.pth"
    torch.save({"a": torch.arange(60.0), "b": {"c": [1, "text"]}}, file)
    whole, refused = file.read_bytes(), 0
    for seed in range(150):
        choice, data = random.Random(seed), bytearray(whole)
        for _ in range(choice.randint(1, 8)):
            place = choice.randrange(len(data))
            if choice.random() < 0.5:
                data[place] ^= 1 << choice.randrange(8)
            else:
                del data[place : place + choice.randint(1, 40)]
        file.write_bytes(data)
        try:
            read_torch(file)
        except CheckpointError as error:
            assert str(file) in str(error)
            refused += 1
    assert refused > 75


def test_damaged_bundled_files_always_end_in_the_same_error(tmp_path: Path) -> None:
    file = tmp_path / "hqtrack-lite.safetensors"
    for seed in range(100):
        choice = random.Random(seed)
        length = choice.choice([0, 5, 2**40, 2**63, 20])
        file.write_bytes(length.to_bytes(8, "little") + choice.randbytes(choice.randrange(60)))
        with pytest.raises(CheckpointError, match=r"hqtrack-lite\.safetensors"):
            read_bundled(file)


def test_a_bundled_file_is_the_one_whose_digest_is_recorded(tmp_path: Path) -> None:
    name = "hqtrack-lite.safetensors"
    for part in (name, f"{name}.sha256"):
        shutil.copy(WEIGHTS / part, tmp_path)
    file = tmp_path / name
    read_bundled(file)
    assert check_bundled(file).state == "ok"
    with file.open("r+b") as stored:
        stored.seek(3_000_000)
        byte = stored.read(1)[0]
        stored.seek(3_000_000)
        stored.write(bytes([byte ^ 1]))
    with pytest.raises(CheckpointError, match=r"damaged: its sha256.*restore"):
        read_bundled(file)
    assert check_bundled(file).state == "FAIL"


@pytest.mark.parametrize("name", ["../../outside", "/etc", "..", "a/b", "a\\b", "a\x07"])
def test_a_sequence_cannot_lead_out_of_its_folder(workspace: Workspace, name: str) -> None:
    outside = workspace.folder.parent / "outside"
    outside.mkdir()
    (outside / "sequence").write_text("length=1\n")
    metadata = workspace.sequences / "pair" / "sequence"
    text = metadata.read_text()
    metadata.write_text(text.replace("name=pair", f"name={name}"))
    with pytest.raises(VotError, match="no name of a sequence"):
        results.remove_damaged(workspace, "Still")
    metadata.write_text(text)
    (workspace.sequences / "list.txt").write_text(f"{name}\n")
    with pytest.raises(VotError, match="no name of a sequence"):
        read_dataset(workspace.sequences)


def _spoilt(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("list.txt", b"pair", b"p\xe4r", r"list\.txt is not UTF-8 \(byte \d+ is 0xe4\)"),
        ("pair/sequence", b"name=pair", b"name=p\xe4r", r"pair/sequence is not UTF-8"),
        ("pair/groundtruth_01.txt", b"m", b"\xe4", r"groundtruth_01\.txt is not UTF-8"),
        (
            "pair/sequence",
            b"length=",
            b"length=-",
            r"length=-\d+: it must be a whole number",
        ),
        ("pair/sequence", b"width=", b"width=-", r"width=-\d+: it must be a whole number"),
        ("pair/sequence", b"length=", b"length=many", r"length=many\d+: it must be"),
        ("pair/sequence", b"name=pair", b"name=single", "pair.*single|single.*pair"),
    ],
)
def test_a_spoilt_data_set_is_named_with_what_is_wrong(
    workspace: Workspace, file: str, old: bytes, new: bytes, said: str
) -> None:
    _spoilt(workspace.sequences / file, old, new)
    with pytest.raises(VotError, match=said):
        read_dataset(workspace.sequences)


def test_a_sequence_that_is_listed_twice_is_refused(workspace: Workspace) -> None:
    listed = workspace.sequences / "list.txt"
    listed.write_text(listed.read_text() + "pair\n")
    with pytest.raises(VotError, match="pair and pair are both the sequence 'pair'"):
        read_dataset(workspace.sequences)


def test_frames_without_numbers_and_without_length_are_named(workspace: Workspace) -> None:
    metadata = workspace.sequences / "pair" / "sequence"
    lines = [line for line in metadata.read_text().splitlines() if not line.startswith("length")]
    metadata.write_text("\n".join(lines).replace("%08d", "first"))
    with pytest.raises(VotError, match=r"'color/first\.jpg' holds no number such as %08d"):
        read_dataset(workspace.sequences)


def test_settings_that_are_not_utf8_are_named(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = workspace.folder / "config.yaml"
    config.write_bytes(config.read_bytes() + "# Köln\n".encode("latin-1"))
    with pytest.raises(VotError, match=r"config\.yaml is not UTF-8 .*save it as UTF-8"):
        workspace.dataset()
    trackers = tmp_path / "trackers.ini"
    trackers.write_bytes("[HQTrack]\nlabel = Köln\n".encode("latin-1"))
    monkeypatch.setattr(module_chosen, "REGISTRY", trackers)
    with pytest.raises(VotError, match=r"trackers\.ini is not UTF-8"):
        module_chosen.workspace_of(Namespace(stack="vots2026/point", tracker="HQTrack"))
    (finding,) = check_registry(trackers)
    assert finding.state == "FAIL" and "trackers.ini" in finding.text


@pytest.mark.parametrize("name", ["..", "../..", "/", "a/b", "", ".", "Still/../.."])
def test_force_removes_nothing_but_results_of_a_tracker(workspace: Workspace, name: str) -> None:
    files = sorted(workspace.folder.rglob("*"))
    with pytest.raises(VotError, match="no tracker"):
        evaluate.evaluate(workspace, name, force=True)
    assert set(files) <= set(workspace.folder.rglob("*"))


@pytest.mark.parametrize("name", ["50%d", "pair[1]"])
def test_names_that_are_patterns_to_the_toolkit_are_refused(
    workspace: Workspace, name: str
) -> None:
    (workspace.sequences / "pair").rename(workspace.sequences / name)
    (workspace.sequences / "list.txt").write_text(f"{name}\n")
    with pytest.raises(VotError, match=rf"takes '{re.escape(name)}' for a pattern.*rename it"):
        read_dataset(workspace.sequences)
    moved = workspace.folder.rename(workspace.folder.with_name("100%d"))
    with pytest.raises(VotError, match="'100%d' for a pattern"):
        read_dataset(moved / "sequences")


def test_the_size_is_compared_with_the_first_frame(workspace: Workspace) -> None:
    _spoilt(workspace.sequences / "pair" / "sequence", b"width=96", b"width=30")
    said = r"pair/sequence says 30 x 64, 00000001\.\w+ is 96 x 64; correct width="
    with pytest.raises(VotError, match=said):
        read_dataset(workspace.sequences)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [*lines, "0"], r"_01\.txt has 25 lines, the sequence 24 frames"),
        (lambda lines: ["0"] * 24, r"_01\.txt never gives its object: none of its 24 lines"),
        (lambda lines: [], r"none of its 0 lines"),
        (lambda lines: ["0", "m0,0,0,0,0"], r"_01\.txt, line 2: m0,0,0,0,0 is an empty mask"),
        (lambda lines: ["mx"], r"_01\.txt, line 1: not a region: 'mx'"),
        (lambda lines: ["\ufeff" + lines[0]], r"_01\.txt, line 1: not a region: '\\ufeffm5,5"),
        (lambda lines: [lines[0], "", *lines[2:]], r"_01\.txt, line 2: not a region: ''"),
        (lambda lines: [lines[0], "10 20 30 40"], r"line 2: not a region: '10 20 30 40'"),
        (lambda lines: ["0", "1,2,3"], r"_01\.txt, line 2: not a region: '1,2,3'"),
    ],
)
def test_ground_truth_that_starts_nothing_or_is_too_long_is_refused(
    workspace: Workspace, change: Callable[[list[str]], list[str]], said: str
) -> None:
    path = workspace.sequences / "pair" / "groundtruth_01.txt"
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    with pytest.raises(VotError, match=said):
        read_dataset(workspace.sequences)
    chosen = Namespace(stack=None, sequences=None, workspace=workspace.folder, tracker="Still")
    with pytest.raises(VotError, match=said):
        module_chosen.workspace_of(chosen)
