"""Reading trajectories and regions, against the toolkit's own writer."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tracker.vot.errors import VotError
from tracker.vot.regions import (
    MaskRegion,
    Shape,
    Special,
    encode_mask,
    format_mask,
    parse_region,
)
from tracker.vot.trajectory import parse_binary, read_trajectory, read_values

MASKS = npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=12))


def _toolkit_bytes(regions: list) -> bytes:
    from vot.region.io import write_trajectory_binary

    buffer = io.BytesIO()
    write_trajectory_binary(buffer, regions)
    return buffer.getvalue()


@given(MASKS)
def test_masks_survive_text(mask: np.ndarray) -> None:
    region = parse_region(format_mask(encode_mask(mask)))
    assert np.array_equal(region.mask(mask.shape), mask)
    assert region.area == mask.sum()


def test_mask_line_has_the_known_form() -> None:
    mask = np.zeros((6, 8), bool)
    mask[2, 3:5] = mask[3, 4:6] = True
    assert format_mask(encode_mask(mask)) == "m3,2,3,2,0,2,2,2"
    assert format_mask(encode_mask(np.zeros((6, 8), bool))) == "m0,0,0,0,0"


@given(MASKS)
@settings(max_examples=30)
def test_lines_are_what_the_toolkit_reads(mask: np.ndarray) -> None:
    from vot.region.io import create_mask_from_string

    # not its parse_region: that one takes a mask one pixel wide for an empty one
    box, (x, y) = create_mask_from_string(format_mask(encode_mask(mask))[1:].split(","))
    full = np.zeros_like(mask)
    full[y : y + box.shape[0], x : x + box.shape[1]] = box
    assert np.array_equal(full, mask)


@given(st.lists(MASKS, max_size=4))
@settings(max_examples=30)
def test_reads_what_the_toolkit_writes(masks: list[np.ndarray]) -> None:
    from vot.region import Special as ToolkitSpecial
    from vot.region.shapes import Mask, Rectangle

    written = [ToolkitSpecial(1), Rectangle(1, 2, 3, 4)]
    written += [Mask(mask.astype(np.uint8), (2, 1)) for mask in masks]
    regions = parse_binary(_toolkit_bytes(written))
    assert regions[:2] == [Special(1), Shape("rectangle", (1, 2, 3, 4))]
    for region, mask in zip(regions[2:], masks, strict=True):
        full = np.zeros((20, 20), bool)
        full[1 : 1 + mask.shape[0], 2 : 2 + mask.shape[1]] = mask
        assert np.array_equal(region.mask((20, 20)), full)


def test_shapes_and_masks_left_of_the_frame_are_read_as_the_toolkit_writes_them() -> None:
    from vot.region import Point
    from vot.region.shapes import Mask, Polygon

    corners = [(1, 2), (30, 2.5), (30, 40), (-4, 40)]
    written = [Polygon(corners), Point(3, 4.5), Mask(np.ones((4, 5), np.uint8), (-2, -3))]
    polygon, point, mask = parse_binary(_toolkit_bytes(written))
    assert polygon == Shape("polygon", (1, 2, 30, 2.5, 30, 40, -4, 40))
    assert point == Shape("point", (3, 4.5))
    assert np.argwhere(mask.mask((20, 20))).tolist() == [[0, 0], [0, 1], [0, 2]]


def test_long_runs_are_split_and_joined() -> None:
    from vot.region.shapes import Mask

    mask = np.zeros((400, 400), np.uint8)
    mask[0, 0] = mask[-1, -1] = mask[300, 7] = 1
    (region,) = parse_binary(_toolkit_bytes([Mask(mask, (0, 0))]))
    assert np.array_equal(region.mask((400, 400)), mask > 0)


def test_every_truncation_is_noticed() -> None:
    from vot.region import Special as ToolkitSpecial
    from vot.region.shapes import Mask

    whole = _toolkit_bytes([ToolkitSpecial(1), Mask(np.eye(5, dtype=np.uint8), (0, 0))])
    assert len(parse_binary(whole)) == 2
    for length in range(len(whole)):
        with pytest.raises(VotError, match="truncated"):
            parse_binary(whole[:length])
    with pytest.raises(VotError, match="1 bytes after"):
        parse_binary(whole + b"x")


def test_foreign_bytes_are_refused() -> None:
    with pytest.raises(VotError, match="version"):
        parse_binary(b"\x02\x00\x00\x00\x00\x00")
    with pytest.raises(VotError, match="frame 1 of 1: unknown kind of region 9"):
        parse_binary(b"\x01\x00\x01\x00\x00\x00\x09")
    with pytest.raises(VotError, match="cover 9 pixels"):
        parse_region("m0,0,2,2,4,5")


def test_text_and_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1\nm0,0,0,0,0\nm3,2,2,1,0,2\n1,2,3,4\n1.5,2\nnan,nan,nan,nan\n")
    assert read_trajectory(path) == [
        Special(1),
        MaskRegion(0, 0, 0, 0, (0,)),
        MaskRegion(3, 2, 2, 1, (0, 2)),
        Shape("rectangle", (1, 2, 3, 4)),
        Shape("point", (1.5, 2)),
        Special(0),
    ]
    path.write_text("hello\n")
    with pytest.raises(VotError, match=r"a\.txt, line 1: not a region: 'hello'"):
        read_trajectory(path)
    with pytest.raises(VotError, match=r"b\.bin"):
        read_trajectory(tmp_path / "b.bin")


def test_numbers_that_are_no_region_are_refused() -> None:
    assert parse_region("1,2,3,4,5,6") == Shape("polygon", (1, 2, 3, 4, 5, 6))
    for line in ("1,2,3", "1,2,3,4,5,6,7", "m1,2,3", "", "m0,0,2,2,4.5"):
        with pytest.raises(VotError, match="not a region"):
            parse_region(line)
    for line in ("m0,0,-2,2,0", "m0,0,2,-2,0", "m0,0,2,2,5,-1"):
        with pytest.raises(VotError, match="negative size or run in a mask"):
            parse_region(line)


def test_any_value_but_zero_is_the_object() -> None:
    mask = np.array([[0, 3, 0], [1, 255, 0]], np.uint8)
    assert format_mask(encode_mask(mask)) == "m0,0,2,2,1,3"


@pytest.mark.parametrize("line", ["inf", "1e400", "0,0,inf,4", "-1e9,0,1e9,0,1e9,1e9", "5,2e6"])
def test_numbers_that_no_frame_reaches_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"1\n1,2,3,4\n{line}\n")
    with pytest.raises(VotError, match=r"a\.txt, line 3: .*(far outside any frame|not a region)"):
        read_trajectory(path)


def test_binary_numbers_are_held_to_the_same_limits() -> None:
    def of(*values: float) -> bytes:
        return struct.pack("<hIB4f", 1, 1, 1, *values)

    assert parse_binary(of(1, 2, 3, 4)) == [Shape("rectangle", (1, 2, 3, 4))]
    assert parse_binary(of(1, np.nan, 3, 4)) == [Special(0)]
    with pytest.raises(VotError, match="frame 1 of 1: a rectangle far outside any frame: 1,inf"):
        parse_binary(of(1, np.inf, 3, 4))


def test_a_mask_larger_than_any_frame_is_refused_before_it_is_made() -> None:
    with pytest.raises(VotError, match="a mask of 100000000000 x 1 pixels"):
        parse_region("m0,0,100000000000,1,100000000000")


@pytest.mark.parametrize("read", [read_trajectory, read_values])
def test_a_text_that_is_not_utf8_names_the_remedy(tmp_path: Path, read) -> None:
    path = tmp_path / "a.value"
    path.write_bytes("0.5\nköln\n".encode("latin-1"))
    with pytest.raises(VotError, match=r"a\.value is not UTF-8 \(byte 5 is 0xf6\); save it as UTF"):
        read(path)


def test_values_keep_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "a_time.value"
    path.write_text("0.5\n\n0.25\n")
    assert read_values(path) == ["0.5", "", "0.25"]


def test_masks_outside_the_image_are_cut() -> None:
    region = MaskRegion(-1, -1, 3, 3, (0, 9))
    assert np.array_equal(region.mask((2, 2)), np.ones((2, 2), bool))
    assert not MaskRegion(50, 0, 3, 3, (0, 9)).mask((2, 2)).any()
