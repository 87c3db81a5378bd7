"""The demo data set: what is in it, and that it is drawn the same each time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.vot import demo, demo_art
from tracker.vot.dataset import SequenceInfo, groundtruth_files, read_dataset
from tracker.vot.errors import VotError
from tracker.vot.regions import MaskRegion, Region, Special, parse_region


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "sequences"
    demo.make_demo(folder)
    return folder


def _regions(info: SequenceInfo) -> dict[str, list[Region]]:
    files = groundtruth_files(info.folder).items()
    return {name: [parse_region(line) for line in p.read_text().splitlines()] for name, p in files}


def test_sequences_are_whole_and_small(data: Path) -> None:
    infos = read_dataset(data)
    assert [info.name for info in infos] == ["crossing", "leaving", "lookalike"]
    for info in infos:
        frames = sorted((info.folder / "color").iterdir())
        assert [path.name for path in frames] == [
            f"{number:08d}.jpg" for number in range(1, info.length + 1)
        ]
        assert cv2.imread(str(frames[0])).shape[:2] == info.size[::-1]
        assert all(len(lines) == info.length for lines in _regions(info).values())
    assert sum(path.stat().st_size for path in data.rglob("*") if path.is_file()) < 6e6


def test_masks_of_a_frame_do_not_overlap(data: Path) -> None:
    for info in read_dataset(data):
        shape = info.size[::-1]
        regions = list(_regions(info).values())
        for number in range(0, info.length, 6):
            present = [lines[number] for lines in regions]
            masks = [r.mask(shape) for r in present if isinstance(r, MaskRegion)]
            assert np.sum(masks, axis=0).max() <= 1


def test_one_object_arrives_late(data: Path) -> None:
    crossing = read_dataset(data)[0]
    assert crossing.starts["02"] == crossing.starts["03"] == 0
    start = crossing.starts["01"]
    assert 5 < start < 30
    lines = _regions(crossing)["01"]
    assert all(region == Special(0) for region in lines[:start])
    assert lines[start].area > 1000
    assert all(isinstance(region, MaskRegion) for region in lines[start:])


def test_one_object_leaves_and_returns(data: Path) -> None:
    leaving = _regions(read_dataset(data)[1])["02"]
    areas = np.array([region.area for region in leaving])
    absent = np.flatnonzero(areas == 0)
    assert len(absent) > 10  # the toolkit judges absence only beyond ten frames
    assert np.array_equal(absent, np.arange(absent[0], absent[-1] + 1))
    assert areas[0] > 1000 and areas[-1] > 1000


def test_the_lookalike_is_not_in_the_truth() -> None:
    scene = demo.scenes()[2]
    looks = [actor.look for actor in scene.actors]
    assert [actor.tracked for actor in scene.actors] == [False, True, True]
    assert looks[0].colours == looks[1].colours and looks[0].pattern == looks[1].pattern


def test_what_stands_before_an_object_is_not_in_its_mask() -> None:
    scene = demo.scenes()[0]
    sprites = [demo_art.sprite(actor.look) for actor in scene.actors]
    t = 36
    _, covered = demo._layers(scene.before, scene.camera(t))
    free = demo.render_frame(dataclasses.replace(scene, before=()), sprites, t)[1]
    masks = demo.render_frame(scene, sprites, t)[1]
    hidden = free & (covered > 0.9)
    assert hidden.sum(axis=(1, 2)).min() > 0 and hidden.sum() > 3000
    assert not (masks & hidden).any()
    assert np.array_equal(masks & (covered == 0), free & (covered == 0))


def test_drawn_the_same_each_time() -> None:
    scene = demo.scenes()[0]
    sprites = [demo_art.sprite(actor.look) for actor in scene.actors]
    first = demo.render_frame(scene, sprites, 20)
    again = demo.render_frame(demo.scenes()[0], sprites, 20)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].dtype == np.uint8 and first[0].std() > 20


def test_a_finished_set_stays_and_a_broken_off_one_is_redone(data: Path, tmp_path: Path) -> None:
    before = (data / "list.txt").stat().st_mtime_ns
    assert demo.main([str(data)]) == 0
    assert (data / "list.txt").stat().st_mtime_ns == before
    (tmp_path / "crossing").mkdir()
    assert demo._is_partial(tmp_path)
    (tmp_path / "my thesis.txt").write_text("")
    with pytest.raises(VotError, match="is not empty"):
        demo.make_demo(tmp_path)
    with pytest.raises(VotError, match=r"my thesis.txt is a file, not a folder"):
        demo.make_demo(tmp_path / "my thesis.txt")


def test_a_frame_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imwrite", lambda *_: False)
    scene = demo.Scene("empty", 1, (), (), (), lambda t: (0, 0), 1)
    with pytest.raises(VotError, match=r"cannot write .*empty/color/00000001\.jpg"):
        demo.write_scene(scene, tmp_path)
