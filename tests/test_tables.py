"""Tables of results, COCO masks, and the prompts file."""

from __future__ import annotations

import csv
import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tracker.labels import MaskError
from tracker.media.masks import write_labels
from tracker.media.prompt_file import Start, box_start, mask_start, point_start, read_prompts
from tracker.media.rle import encode_rle
from tracker.media.tables import JsonWriter, TableWriter, object_rows
from tracker.prompts import BoxPrompt, PointPrompt, PolygonPrompt, PromptError
from tracker.stages import FrameResult

LABELS = np.array([[0, 0, 3], [1, 1, 3]], np.uint8)
RESULT = FrameResult(LABELS, np.array([0.5, 0, 0.98762], np.float32), np.array([1, 0, 0], bool))

BIG = "be\\4X6h8000^WR8"
DISC = "Xc1e0S18I6K4L4M2M4M2N2O0O2O000000000001N101N2N3L3N3L4L5J7HPS2"


def decode(rle: dict) -> np.ndarray:
    """COCO's own way, character by character."""
    counts, position, text = [], 0, rle["counts"].encode()
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            character = text[position] - 48
            value |= (character & 0x1F) << shift
            more = bool(character & 0x20)
            position, shift = position + 1, shift + 5
            if not more and character & 0x10:
                value |= -1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    flat = np.repeat(np.arange(len(counts)) % 2, counts)
    return flat.reshape(rle["size"], order="F") > 0


@given(arrays.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_rle_comes_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(encode_rle(mask)), mask)


def test_rle_is_that_of_pycocotools() -> None:
    """Texts made by pycocotools 2.0."""
    rows, columns = np.mgrid[:60, :90]
    disc = (rows - 30) ** 2 / 4 + (columns - 40) ** 2 < 14**2
    assert encode_rle(np.zeros((3, 4), bool)) == {"size": [3, 4], "counts": "<"}
    assert encode_rle(np.ones((3, 4), bool)) == {"size": [3, 4], "counts": "0<"}
    assert encode_rle(np.eye(5, 7, dtype=bool))["counts"] == "01500000005"
    big = np.pad(np.ones((200, 3), bool), ((50, 230), (300, 551)))
    assert encode_rle(big)["counts"] == BIG
    assert encode_rle(disc)["counts"] == DISC


def test_rows_tell_of_every_object_in_view_or_not(tmp_path: Path) -> None:
    rows = object_rows(RESULT)
    with TableWriter(tmp_path / "t.csv") as table:
        table.add(7, Fraction(7, 30), rows)
    with (tmp_path / "t.csv").open() as file:
        lines = list(csv.reader(file))
    titles = "frame,time,object,present,x0,y0,x1,y1,area,confidence,refined"
    assert ",".join(lines[0]) == titles
    assert lines[1:] == [
        ["7", "0.233333", "1", "1", "0", "1", "1", "1", "2", "0.5000", "1"],
        ["7", "0.233333", "2", "0", "", "", "", "", "0", "0.0000", "0"],
        ["7", "0.233333", "3", "1", "2", "0", "2", "1", "2", "0.9876", "0"],
    ]


@pytest.mark.parametrize("frames", [0, 1, 3])
def test_json_is_whole_for_any_number_of_frames(tmp_path: Path, frames: int) -> None:
    with JsonWriter(tmp_path / "t.json", {"video": "ä.mp4", "fps": 25.0}, masks=True) as table:
        for number in range(frames):
            table.add(number, Fraction(number, 30), object_rows(RESULT), LABELS)
    read = json.loads((tmp_path / "t.json").read_text())
    assert (read["video"], read["fps"], len(read["frames"])) == ("ä.mp4", 25, frames)
    for number, frame in enumerate(read["frames"]):
        assert (frame["frame"], frame["time"]) == (number, round(number / 30, 6))
        assert [one["present"] for one in frame["objects"]] == [True, False, True]
        assert [one["box"] for one in frame["objects"]] == [[0, 1, 1, 1], None, [2, 0, 2, 1]]
        for one in frame["objects"]:
            mask = decode(one["segmentation"])
            np.testing.assert_array_equal(mask, one["object"] == LABELS)


def test_json_has_the_values_of_the_table_and_masks_only_when_asked(tmp_path: Path) -> None:
    with JsonWriter(tmp_path / "t.json", {}) as table:
        table.add(0, Fraction(0), object_rows(RESULT), LABELS)
    (frame,) = json.loads((tmp_path / "t.json").read_text())["frames"]
    rows = [list(one.values()) for one in frame["objects"]]
    assert rows == [
        [1, True, [0, 1, 1, 1], 2, 0.5, True],
        [2, False, None, 0, 0.0, False],
        [3, True, [2, 0, 2, 1], 2, 0.9876, False],
    ]
    keys = ["object", "present", "box", "area", "confidence", "refined"]
    assert list(frame["objects"][0]) == keys


def prompts(folder: Path, content: object) -> list[Start]:
    (folder / "p.json").write_text(json.dumps(content))
    return read_prompts(folder / "p.json")


def test_a_prompts_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    text = json.dumps({"objects": [{"box": [1, 2, 3, 4]}]})
    (tmp_path / "p.json").write_text(text, encoding="utf-8-sig")
    assert [start.what for start in read_prompts(tmp_path / "p.json")] == [BoxPrompt(1, 2, 3, 4)]


def test_a_prompts_file_gives_its_entries_in_order(tmp_path: Path) -> None:
    write_labels(tmp_path / "first.png", LABELS)
    entries = [
        {"mask": "first.png"},
        {"box": [1, 2.5, 30, 40], "frame": 0},
        {"frame": 30, "points": [[200, 110], [210, 130]], "background": [[20, 20]]},
        {"frame": 45, "polygon": [[10, 10], [60, 12], [40, 70]]},
    ]
    starts = prompts(tmp_path, {"objects": entries})
    assert [start.frame for start in starts] == [0, 0, 30, 45]
    np.testing.assert_array_equal(starts[0].objects(), [LABELS == 1, LABELS == 3])
    assert [start.what for start in starts[1:]] == [
        BoxPrompt(1, 2.5, 30, 40),
        PointPrompt(((200, 110), (210, 130)), ((20, 20),)),
        PolygonPrompt(((10, 10), (60, 12), (40, 70))),
    ]
    assert starts[2].where.endswith("p.json: objects[2]")


BOX = {"box": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**BOX, "fram": 1}, r"unknown key 'fram'; the keys are mask, .*frame"),
        ({"frame": 1}, "none of mask, box, points, polygon"),
        ({**BOX, "points": [[1, 2]]}, "box and points of"),
        ({**BOX, "background": [[1, 2]]}, "background goes with points"),
        ({**BOX, "frame": -1}, "frame is -1"),
        ({**BOX, "frame": True}, "frame is True"),
        ({"box": [1, 2, 3]}, r"a box is \[x, y, width, height\]"),
        ({"box": [1, 2, 0, 4]}, "above 0"),
        ({"box": [1, 2, "3", 4]}, "a box is"),
        ({"box": [1, 2, 3, 10**400]}, "a box is"),
        ({"points": [[10**30, 2]]}, r"points is \[\[10{30}, 2\]\]; it is a list of"),
        ({"points": []}, "points is empty"),
        ({"points": [1, 2]}, r"points is \[1, 2\]; it is a list of"),
        ({"polygon": [[1, 2], [3, 4]]}, "three corners"),
        ({"mask": 3}, "mask is 3"),
        ({"mask": "gone.png"}, "cannot read mask .*gone.png"),
        ([1], "an entry is an object"),
    ],
)
def test_an_entry_that_is_wrong_is_named(tmp_path: Path, entry: object, message: str) -> None:
    with pytest.raises(MaskError, match=rf"p.json: objects\[1\].*{message}"):
        prompts(tmp_path, {"objects": [BOX, entry]})


@pytest.mark.parametrize("text", ["[" * 200_000, '{"objects": ' + "1" * 5000 + "}", "\xff"])
def test_a_prompts_file_that_no_parser_takes_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(PromptError, match=r"cannot read prompts .*p\.json"):
        read_prompts(path)


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of Unix")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(PromptError, match=f"prompts {path}: a directory, pipe or device"):
            read_prompts(path)
        with pytest.raises(MaskError, match=f"--mask 3={path}: .* mask {path}: a directory, pipe"):
            mask_start(f"3={path}")
        with pytest.raises(MaskError, match=r"objects\[0\]: cannot read mask .*: a directory"):
            prompts(tmp_path, {"objects": [{"mask": str(path)}]})


@pytest.mark.parametrize("content", [[], {}, {"objects": []}, {"objects": [BOX], "more": 1}])
def test_a_file_that_is_no_prompts_file_is_named(tmp_path: Path, content: object) -> None:
    with pytest.raises(PromptError, match=r"p.json: a prompts file is"):
        prompts(tmp_path, content)
    (tmp_path / "p.json").write_text("{")
    with pytest.raises(PromptError, match=r"cannot read prompts .*p.json"):
        read_prompts(tmp_path / "p.json")


def test_a_missing_prompts_file_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    with pytest.raises(PromptError) as caught:
        read_prompts(path)
    assert str(caught.value) == f"cannot read prompts {path}: No such file or directory"


def test_words_of_the_command_line(tmp_path: Path) -> None:
    write_labels(tmp_path / "m.png", LABELS)
    assert box_start("30=1,2,3.5,4") == Start(30, BoxPrompt(1, 2, 3.5, 4), "--box 30=1,2,3.5,4")
    assert point_start("7,8") == Start(0, PointPrompt(((7, 8),)), "--point 7,8")
    assert mask_start(f"2={tmp_path / 'm.png'}").frame == 2
    odd = tmp_path / "a=b.png"
    write_labels(odd, LABELS)
    starts = [(start.frame, start.what) for start in map(mask_start, (f"2={odd}", f"{odd}"))]
    assert starts == [(2, odd), (0, odd)]
    for make, words in [(box_start, "1,2,3"), (box_start, "a,2,3,4"), (point_start, "1,nan")]:
        with pytest.raises(PromptError, match=f"{words}: it takes x,y"):
            make(words)
    with pytest.raises(PromptError, match="above 0"):
        box_start("1,2,0,4")
