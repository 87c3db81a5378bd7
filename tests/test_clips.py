"""Clips: deterministic, exact, and what the settings promise."""

import cv2
import numpy as np
import pytest
from PIL import Image

from tracker.training import augment
from tracker.training.clips import ClipConfig, ClipDataset, collate, shuffle_ids
from tracker.training.errors import DataError
from tracker.training.items import Video
from tracker.training.layers import Background, Cutout, Layer, draw_scene
from tracker.training.library import Library
from tracker.training.scenes import sample_times

SIZE = 97
KINDS = ("static", "video", "composed")


def write_pair(image_path, mask_path, rng, shift=0):
    image = rng.integers(0, 255, (30, 40, 3)).astype(np.uint8)
    image = cv2.resize(image, (160, 120), interpolation=cv2.INTER_CUBIC)
    ids = np.zeros((120, 160), np.uint8)
    for i, (y, x, colour) in enumerate(((20, 30, (250, 0, 0)), (60, 90, (0, 0, 250))), start=1):
        cv2.circle(ids, (x + shift, y + 10), 18, i, -1)
        image[ids == i] = colour
    image_path.parent.mkdir(parents=True, exist_ok=True)
    mask_path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(image_path), image[..., ::-1])
    Image.fromarray(ids).save(mask_path)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for k in range(4):
        still = root / "train_static"
        write_pair(still / f"images/coco_{k}.png", still / f"masks/coco_{k}.png", rng)
    for t in range(12):
        video = root / "train_video" / "moving"
        write_pair(video / f"frames/{t:05d}.png", video / f"masks/{t:05d}.png", rng, 2 * t)
    sprite = np.full((40, 30, 4), 200, np.uint8)
    sprite[..., 3] = 0
    sprite[5:35, 5:25, 3] = 255
    (root / "sprites").mkdir()
    cv2.imwrite(str(root / "sprites" / "box.png"), sprite)
    return Library.open(root)


def only(kind: str, **settings) -> ClipConfig:
    weights = {k: float(k == kind) for k in KINDS}
    return ClipConfig(size=SIZE, **weights, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_depends_on_seed_and_number_only(library, kind):
    first, second = (ClipDataset(library, only(kind), seed=5) for _ in range(2))
    first.clip(0)
    a, b = first.clip(3), second.clip(3)
    assert np.array_equal(a.frames, b.frames)
    assert np.array_equal(a.labels, b.labels)
    assert not np.array_equal(a.frames, ClipDataset(library, only(kind), seed=6).clip(3).frames)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 5])
def test_every_object_is_in_frame_0_and_no_other_id_occurs(library, kind, frames):
    dataset = ClipDataset(library, only(kind, frames=frames), seed=1)
    for index in range(25):
        clip = dataset.clip(index)
        assert clip.kind == kind
        assert clip.frames.shape == (frames, SIZE, SIZE, 3)
        assert clip.labels.shape == (frames, SIZE, SIZE)
        assert clip.frames.dtype == clip.labels.dtype == np.uint8
        assert 1 <= clip.count <= 10
        areas = np.bincount(clip.labels[0].ravel())
        assert len(areas) == clip.count + 1
        assert areas[1:].min() >= 40 * (SIZE / 256) ** 2
        assert clip.labels.max() == clip.count


def test_objects_leave_and_return(library):
    dataset, gone, back = ClipDataset(library, only("static", frames=6), seed=2), 0, 0
    for index in range(60):
        clip = dataset.clip(index)
        for i in range(1, clip.count + 1):
            there = (clip.labels == i).any((1, 2))
            gone += not there.all()
            back += bool((~there[:-1] & there[1:]).any())
    assert gone > 5
    assert back > 2


def test_mixture_and_number_of_objects(library):
    dataset = ClipDataset(library, ClipConfig(size=SIZE, frames=2, max_objects=3), seed=0)
    clips = [dataset.clip(i) for i in range(60)]
    assert {c.kind for c in clips} == set(KINDS)
    assert max(c.count for c in clips) <= 3
    assert min(c.count for c in clips) == 1


def test_a_mixture_without_sources_is_an_error(library):
    with pytest.raises(DataError, match="no source"):
        ClipDataset(Library(stills=library.stills), only("video"))


def test_collate_gives_channels_first_bytes(library):
    dataset = ClipDataset(library, only("static", frames=3))
    frames, labels, counts = collate([dataset[0], dataset[1]])
    assert tuple(frames.shape) == (2, 3, 3, SIZE, SIZE)
    assert tuple(labels.shape) == (2, 3, SIZE, SIZE)
    assert counts.tolist() == [dataset[0].count, dataset[1].count]
    assert np.array_equal(frames[1, 2, 0], dataset[1].frames[2, ..., 0])


def test_ids_are_shuffled_consistently_over_frames():
    labels = np.zeros((2, 20, 20), np.uint8)
    labels[0, :5], labels[0, 5:10], labels[1, 2:6], labels[1, 10:] = 3, 9, 9, 200
    seen = set()
    for seed in range(8):
        new, count = shuffle_ids(np.random.default_rng(seed), labels, 10, 20)
        assert count == 2  # 200 is not in frame 0
        ids = new[0, 0, 0], new[0, 5, 0]
        assert sorted(ids) == [1, 2]
        assert np.array_equal(new[1] == ids[1], labels[1] == 9)
        assert not (new[1, 10:]).any()
        seen.add(ids)
    assert len(seen) == 2


def test_top_layers_hide_lower_ones_and_unlabelled_ones_hide_all():
    size, still = 32, np.tile(np.eye(3), (1, 1, 1))
    background = Background(
        [np.zeros((32, 32, 3), np.uint8)], [np.zeros((32, 32), np.uint8)], still
    )

    def layer(x, label):
        alpha = np.full((8, 8), 255, np.uint8)
        cutout = Cutout(np.full((8, 8, 3), 100 + label, np.uint8), alpha)
        return Layer([cutout], augment.translation(x, 4)[None], label, np.ones(1, bool))

    frames, labels = draw_scene(background, [layer(4, 1), layer(8, 2), layer(12, 0)], 1, size)
    assert labels[0, 8, [5, 9, 13, 25]].tolist() == [1, 2, 0, 0]
    assert frames[0, 8, [5, 9, 13, 25], 0].tolist() == [101, 102, 100, 0]


def test_a_bend_of_zero_is_the_plain_warp():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (60, 80, 3)).astype(np.uint8), (0, 0), 3)
    bend = augment.Bend(np.ones((4, 4, 2), np.float32) * 9, np.zeros(1, np.float32))
    matrix = augment.translation(3, 2) @ augment.similarity(0.1, 1.2, 0.9)
    plain = augment.warp_full(image, matrix, 50).astype(int)
    bent = augment.warp_full(image, matrix, 50, bend).astype(int)
    assert np.abs(plain - bent).max() <= 2


def test_motion_starts_at_rest_and_paths_at_zero():
    rng = np.random.default_rng(0)
    assert np.allclose(augment.random_motion(rng, 4, 100, 0.1)[0], np.eye(3))
    assert augment.smooth_path(rng, 5, 2.0)[0] == 0


def test_times_stay_inside_and_respect_the_gap():
    video = Video("v", (None,) * 20, (None,) * 20)
    sparse = Video("s", (None,) * 3, (None,) * 3, dense=False)
    for seed in range(50):
        times = np.array(sample_times(np.random.default_rng(seed), video, 4, 8))
        assert times.min() >= 0
        assert times.max() <= 19
        times = np.array(sample_times(np.random.default_rng(seed), video, 4, 3))
        assert set(np.abs(np.diff(times))) <= {1, 2, 3}
        times = np.array(sample_times(np.random.default_rng(seed), sparse, 6, 8))
        assert set(np.abs(np.diff(times))) == {1}


def test_a_filled_hole_keeps_the_rest():
    image = np.full((64, 64, 3), 120, np.uint8)
    hole = np.zeros((64, 64), np.uint8)
    hole[24:40, 24:40] = 255
    marked = image.copy()
    marked[hole > 0] = 0
    filled = augment.fill_hole(marked, hole)
    assert np.abs(filled.astype(int) - 120).max() <= 3
    assert np.array_equal(filled[:10], image[:10])
