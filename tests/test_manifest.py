"""Manifests beside the data: what is read, and that a broken one is named."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.bench import eval_vos
from tracker.training import compose
from tracker.training.errors import DataError
from tracker.training.library import Library
from tracker.training.manifest import by_name, read_manifest
from tracker.training.sources import find_videos


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One video of two frames in the folder `data`."""
    root = tmp_path / "data"
    for part, value in (("frames", 90), ("masks", 1)):
        (root / "one" / part).mkdir(parents=True)
        for t in range(2):
            picture = np.zeros((20, 30), np.uint8)
            picture[2:12, 3:20] = value
            cv2.imwrite(str(root / "one" / part / f"{t}.png"), picture)
    return root


def test_what_a_manifest_says(data: Path) -> None:
    assert read_manifest(data) == {}
    facts = {"name": "one", "frames": 2, "dense": False}
    content = {"sets": {"ccp": {"parts": True}}, "sequences": [facts], "made by": "hand"}
    (data / "manifest.json").write_text(json.dumps(content))
    assert read_manifest(data) == content
    assert by_name(content) == {"one": facts}
    assert find_videos(data)[0].dense is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"sequences": [', r"Expecting value"),
        ("[" * 10**5, r"cannot read"),
        ("[1]", r"holds \[1\], not an object"),
        ("null", r"holds null, not an object"),
        ('{"sequences": {}}', r"sequences is \{\}, not a list"),
        ('{"sequences": null}', r"sequences is null, not a list"),
        ('{"sequences": ["one"]}', r'sequences, entry 0 from 0 is "one", not an object'),
        ('{"sequences": [{"name": "one"}, {}]}', r"sequences, entry 1 from 0 has no name"),
        ('{"sequences": [{"name": ["one"]}]}', r"sequences, entry 0 from 0 has no name"),
        ('{"sequences": [{"name": "one", "dense": 0}]}', r"dense is 0, not true or false"),
        ('{"sets": []}', r"sets is \[\], not an object"),
        ('{"sets": {"ccp": true}}', r"sets, ccp is true, not an object"),
        ('{"sets": {"ccp": {"parts": "yes"}}}', r'parts is "yes", not true or false'),
    ],
)
def test_a_broken_manifest_is_named(data: Path, text: str, message: str) -> None:
    path = data / "manifest.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as error:
        Library.open(data)
    assert str(path) in str(error.value)
    assert str(error.value).endswith("mend it, or remove the file")


def test_a_manifest_that_is_no_text_is_named(data: Path) -> None:
    path = data / "manifest.json"
    path.write_bytes(b'{"made by": "J\xfcrgen"}')
    with pytest.raises(DataError, match=r"cannot read .*manifest\.json .*utf-8"):
        read_manifest(data)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"cannot read .*manifest\.json .*directory"):
        read_manifest(data)


def test_the_commands_name_it(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "manifest.json").write_text("[]")
    assert eval_vos.main(["--data", str(data), "--floors-only"]) == 2
    assert compose.main(["--data", str(data), "--out", str(data / "new")]) == 1
    told = capsys.readouterr().err.splitlines()
    where = f"{data / 'manifest.json'} holds [], not an object"
    assert [line.split("; ")[0] for line in told] == [f"eval: {where}", f"compose: {where}"]


def test_a_manifest_without_sequences_lists_none(data: Path) -> None:
    path = data / "manifest.json"
    path.write_text("{}")
    assert eval_vos.check_manifest(data, find_videos(data)) == [f"one: not listed in {path}"]


def test_a_difference_is_written_as_json_has_it(data: Path) -> None:
    (data / "manifest.json").write_text('{"sequences": [{"name": "one", "frames": "2"}]}')
    told = eval_vos.check_manifest(data, find_videos(data))
    assert told == ['one: frames 2, the manifest says "2"']
