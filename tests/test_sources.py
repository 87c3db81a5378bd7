"""Readers of training data on small files written by the tests."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from tracker.training import reading, sources
from tracker.training.errors import DataError
from tracker.training.items import Still
from tracker.training.library import Library
from tracker.training.reading import Cache


def write_image(path, shape=(20, 30), value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((*shape, 3), (value, 2 * value % 256, 10), np.uint8)
    cv2.imwrite(str(path), image[..., ::-1])


def write_mask(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(labels, np.uint8), "P")
    image.putpalette([v for i in range(256) for v in (i * 7 % 256, 255 - i, i)])
    image.save(path)


def labels(shape=(20, 30)):
    ids = np.zeros(shape, np.uint8)
    ids[2:8, 3:9], ids[10:18, 12:28] = 4, 7
    return ids


def video(images, masks, count=3, annotated=(0, 1, 2)):
    for t in range(count):
        write_image(images / f"{t:05d}.png")
        if t in annotated:
            write_mask(masks / f"{t:05d}.png", labels())


def test_palette_masks_are_read_as_indices_not_colours(tmp_path):
    write_mask(tmp_path / "m.png", labels())
    assert np.array_equal(reading.read_labels(tmp_path / "m.png"), labels())


def test_pictures_are_rgb_and_reduced_only_when_larger(tmp_path):
    write_image(tmp_path / "a.png")
    image = reading.read_rgb(tmp_path / "a.png", short_side=400)
    assert image.shape == (20, 30, 3)
    assert image[0, 0].tolist() == [90, 180, 10]
    assert reading.read_rgb(tmp_path / "a.png", short_side=10).shape == (10, 15, 3)


def test_damaged_and_missing_files_are_named(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG no")
    for read in (reading.read_rgb, reading.read_labels, reading.read_sprite):
        with pytest.raises(DataError, match=r"bad\.png"):
            read(tmp_path / "bad.png")
    with pytest.raises(DataError, match=r"gone\.png"):
        reading.read_rgb(tmp_path / "gone.png")


def test_pictures_are_read_as_everywhere_else(tmp_path):
    """A cut JPEG is refused, not filled with grey; so are masks whose values are not ids."""
    write_image(tmp_path / "cut.jpg", (200, 300))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cut\.jpg is a cut or damaged JPEG"):
        reading.read_rgb(tmp_path / "cut.jpg")
    write_image(tmp_path / "colour.png")
    with pytest.raises(DataError, match=r"colour\.png is RGB; save it indexed or grey"):
        reading.read_labels(tmp_path / "colour.png")
    Image.fromarray(labels().astype(np.uint16)).save(tmp_path / "wide.png")
    assert np.array_equal(reading.read_labels(tmp_path / "wide.png"), labels())
    Image.fromarray(labels().astype(np.uint16) * 99).save(tmp_path / "wide.png")
    with pytest.raises(DataError, match=r"wide\.png has values outside 0 to 255"):
        reading.read_labels(tmp_path / "wide.png")


def test_hidden_files_are_no_data(tmp_path):
    """macOS leaves `._NAME` beside every file of a foreign disk."""
    stills, clip = tmp_path / "train_static", tmp_path / "train_video/one"
    write_image(stills / "images/a.jpg")
    write_mask(stills / "masks/a.png", labels())
    video(clip / "frames", clip / "masks")
    write_image(tmp_path / "sprites/s.png")
    write_image(tmp_path / "backgrounds/b.jpg")
    for path in [p for p in tmp_path.rglob("*") if p.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    found = Library.open(tmp_path)
    assert [still.name for still in found.stills] == ["a"]
    assert [frame.stem for frame in found.videos[0].frames] == ["00000", "00001", "00002"]
    assert [still.name for still in found.backgrounds] == ["b"]
    assert [sprite.name for sprite in found.sprites] == ["s"]
    for path in clip.glob("masks/0*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"no video with masks.*looked for NAME/frames"):
        sources.find_videos(tmp_path / "train_video")
    with pytest.raises(DataError, match=r"there is no folder .*elsewhere; name one"):
        sources.find_videos(tmp_path / "elsewhere")


def test_frames_are_in_the_order_of_their_numbers_and_of_one_kind(tmp_path):
    for name in ("f2", "f10"):
        write_image(tmp_path / f"one/frames/{name}.jpg")
        write_mask(tmp_path / f"one/masks/{name}.png", labels())
    [found] = sources.find_videos(tmp_path)
    assert [frame.stem for frame in found.frames] == ["f2", "f10"]
    assert [mask.stem for mask in found.masks] == ["f2", "f10"]
    write_image(tmp_path / "one/frames/cover.png")
    with pytest.raises(DataError, match=r"one/frames holds pictures of several kinds"):
        sources.find_videos(tmp_path)


def test_the_three_video_layouts(tmp_path):
    plain, davis, youtube = tmp_path / "plain", tmp_path / "davis", tmp_path / "ytvos"
    video(plain / "one/frames", plain / "one/masks")
    video(davis / "JPEGImages/480p/two", davis / "Annotations/480p/two")
    video(davis / "JPEGImages/480p/other", davis / "Annotations/480p/other")
    (davis / "ImageSets/2017").mkdir(parents=True)
    (davis / "ImageSets/2017/train.txt").write_text("two\n")
    video(youtube / "JPEGImages/three", youtube / "Annotations/three", 6, (0, 5))
    assert [v.name for v in sources.find_videos(plain)] == ["one"]
    assert [v.name for v in sources.find_videos(davis)] == ["other", "two"]
    assert [v.name for v in sources.find_videos(davis, "2017/train")] == ["two"]
    sparse = sources.find_videos(youtube)[0]
    assert len(sparse.frames) == 6
    assert [f.stem for f in sparse.annotated.frames] == ["00000", "00005"]
    with pytest.raises(DataError, match="no list of sequences"):
        sources.find_videos(davis, "2017/trian")


def test_a_split_needs_a_layout_with_lists(tmp_path):
    video(tmp_path / "one/frames", tmp_path / "one/masks")
    with pytest.raises(DataError, match=r"no split '2017/val' in .*; name the sequences instead"):
        sources.find_videos(tmp_path, "2017/val")


def test_validation_sequences_are_never_training_data(tmp_path):
    for name in ("bear", "libby", "davis_bmx-trees"):
        video(tmp_path / name / "frames", tmp_path / name / "masks")
    assert [v.name for v in sources.find_videos(tmp_path)] == ["bear"]
    assert len(sources.find_videos(tmp_path, validation=True)) == 3
    assert [v.name for v in Library.open(tmp_path).videos] == ["bear"]


def test_rules_of_a_manifest(tmp_path):
    for name in ("coco_1", "ccp_1", "bsds_1"):
        write_image(tmp_path / f"images/{name}.png")
        write_mask(tmp_path / f"masks/{name}.png", labels())
    facts = {"sets": {"ccp": {"parts": True}, "bsds": {"partition": True}}}
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    stills = {s.name: s for s in sources.static_folder(tmp_path)}
    assert stills["ccp_1"].rule == "union"
    assert stills["bsds_1"].rule == "partition"
    rng, cache = np.random.default_rng(0), Cache()
    _, whole = reading.load_still(stills["ccp_1"], cache, rng)
    assert np.array_equal(whole, labels() > 0)
    _, instances = reading.load_still(stills["coco_1"], cache, rng)
    assert np.array_equal(instances == 2, labels() == 7)
    _, regions = reading.load_still(stills["bsds_1"], cache, rng)
    assert 1 <= regions.max() <= 2


def test_tiny_instances_are_background(tmp_path):
    ids = labels((100, 100))
    ids[50, 50] = 9  # one pixel in 10000: under 0.1 percent
    write_image(tmp_path / "i.png", (100, 100))
    write_mask(tmp_path / "m.png", ids)
    still = Still("i", tmp_path / "i.png", tmp_path / "m.png")
    _, kept = reading.load_still(still, Cache(), np.random.default_rng(0))
    assert kept.max() == 2
    assert kept[50, 50] == 0


def test_cache_holds_what_fits(tmp_path):
    for name in "ab":
        write_image(tmp_path / f"{name}.png")
    cache = Cache(budget=20 * 30 * 3)
    first = cache.rgb(tmp_path / "a.png")
    assert cache.rgb(tmp_path / "a.png") is first
    assert cache.rgb(tmp_path / "b.png") is not cache.rgb(tmp_path / "b.png")
    assert cache.used == 20 * 30 * 3
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 0


def test_a_folder_without_masks_is_an_error_with_its_name(tmp_path):
    with pytest.raises(DataError, match=str(tmp_path)):
        Library.open(tmp_path)
