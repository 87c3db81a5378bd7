"""The network against recorded outputs of the reference implementation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.recordings import PARITY, checkpoint_entries, recording
from tracker.cli import parity
from tracker.config import FrameConfig
from tracker.preprocess import labels_to_model, model_size, to_model_input
from tracker.vmos.decision import merge_groups
from tracker.vmos.official import deterministic_model, official_shapes
from tracker.vmos.session import VmosSession


@pytest.fixture(scope="module")
def model():
    return deterministic_model()


@pytest.fixture
def one_model(model, monkeypatch):
    monkeypatch.setattr("tracker.vmos.official.deterministic_model", lambda: model)


@pytest.mark.parametrize(
    ("name", "frames"), [("three-objects", 20), pytest.param("odd-size", 4, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("forced", [True, False], ids=["forced", "free"])
def test_video(one_model, name, frames, forced):
    """Logits within the limits when forced; labels at least 99.9 % equal in every frame."""
    case = dict(recording(name))
    case["frames"] = case["frames"][:frames]
    compared = list(parity.compare(case, forced))
    assert len(compared) == frames - 1
    assert [str(frame) for frame in compared if not frame.holds] == []
    assert {"long_term_frames", "short_term_frame"} <= case.keys()


def test_a_resized_frame_may_move_a_few_logits_and_no_other_may():
    limits = np.full(1000, 1e-4)
    few, many, far = (np.full(1000, 2e-5) for _ in range(3))
    few[:60], many[:120], far[0] = 1e-2, 1e-2, 6e-2
    assert [parity._within(d, limits, resized=True) for d in (few, many, far)] == [
        True,
        False,
        False,
    ]
    assert not parity._within(few, limits, resized=False)


def test_a_wrong_memory_is_noticed(one_model):
    case = dict(recording("three-objects"))
    case["frames"] = case["frames"][:2]
    case["long_term_frames"] = case["long_term_frames"] + 1
    (frame,) = parity.compare(case, forced=True)
    assert not frame.holds and "memory" in str(frame)


def test_a_wrong_network_is_past_the_limit(model, one_model, monkeypatch):
    """The comparison sees one transposed weight."""
    weight = model.propagation.layers[1].key_value.weight
    monkeypatch.setattr(weight, "data", weight.data.flip(0))
    case = dict(recording("three-objects"))
    case["frames"] = case["frames"][:3]
    assert not all(frame.holds for frame in parity.compare(case, forced=True))


def test_names_and_shapes_are_the_checkpoints(model):
    expected = {e["name"]: tuple(e["shape"]) for e in checkpoint_entries() if e["used"]}
    assert official_shapes(model) == expected
    assert sum(p.numel() for p in model.parameters()) == 31365119


@pytest.mark.parametrize(
    ("key", "config"),
    [("sizes_default", FrameConfig()), ("sizes_no_upscale", FrameConfig(min_short_edge=None))],
)
def test_model_sizes(key, config):
    case = recording("large-frame")
    got = [model_size(int(h), int(w), config) for h, w in case["sizes"]]
    assert got == [tuple(size) for size in case[key]]
    assert len(got) == 200


@pytest.mark.parametrize("number", [0, 1])
def test_large_frames(number):
    case = {
        k: recording("large-frame")[f"{k}_{number}"]
        for k in (
            "frame_small",
            "block",
            "frame_hw",
            "input_hw",
            "patch",
            "patch_end",
            "mean",
            "std",
            "labels",
            "labels_model",
        )
    }
    (down, across), (height, width) = case["block"], case["frame_hw"]
    frame = case["frame_small"].repeat(down, 0).repeat(across, 1)[:height, :width]
    got = to_model_input(frame, FrameConfig())[0].numpy()
    assert got.shape[1:] == tuple(case["input_hw"])
    np.testing.assert_allclose(got[:, :64, :64], case["patch"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(got[:, -64:, -64:], case["patch_end"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(got.mean((1, 2), np.float64), case["mean"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(got.std((1, 2), np.float64), case["std"], rtol=0, atol=1e-6)
    labels = labels_to_model(case["labels"], got.shape[1:])
    np.testing.assert_array_equal(labels, case["labels_model"])


def test_fault_a_tiny_object_does_not_vanish_at_the_networks_size():
    labels = np.zeros((200, 400), np.uint8)
    labels[20:120, 30:130] = 1
    labels[7, 351] = 2
    labels[199, 399] = 3
    got = labels_to_model(labels, (49, 97))
    assert np.unique(got).tolist() == [0, 1, 2, 3]
    assert np.argwhere(got == 2).tolist() == [[1, 85]]
    assert np.argwhere(got == 3).tolist() == [[48, 96]]
    without = np.where(labels == 1, labels, 0)
    np.testing.assert_array_equal(np.where(got == 1, got, 0), labels_to_model(without, (49, 97)))


def test_command_reports_every_frame_and_fails_past_the_limits(one_model, tmp_path, capsys):
    case = dict(recording("three-objects"))
    short = {k: v[:3] if k in ("frames", "labels") else v for k, v in case.items()}
    good = tmp_path / "good.npz"
    np.savez(good, **short)
    assert parity.main([str(good), "--forced"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1", "2"] and lines[0].endswith("ok")
    bad = tmp_path / "bad.npz"
    np.savez(bad, **{**short, "labels": 3 - short["labels"]})
    assert parity.main([str(bad)]) == 1


def test_command_names_a_file_that_is_no_recording(tmp_path, capsys):
    assert parity.main([str(tmp_path / "gone.npz")]) == 2
    assert "gone.npz" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("no recording")
    assert parity.main([str(tmp_path / "notes.txt")]) == 2
    assert "notes.txt: not a recording" in capsys.readouterr().err
    np.savez(tmp_path / "other.npz", frames=np.zeros(3))
    assert parity.main([str(tmp_path / "other.npz")]) == 2
    assert "initial_labels" in capsys.readouterr().err
    assert parity.main([str(PARITY / "dcnv3.npz")]) == 2
    capsys.readouterr()
    case = dict(recording("three-objects"))
    for settings in ("{", '{"stride": 16}'):
        np.savez(tmp_path / "odd.npz", **case | {"settings": np.array(settings)})
        assert parity.main([str(tmp_path / "odd.npz")]) == 2
        assert "odd.npz: its settings cannot be used" in capsys.readouterr().err


def test_thirteen_objects_compare_within_the_rounding_of_merged_probabilities(
    one_model, tmp_path, capsys
):
    """Recorded with the groups merged in float64: 1.7e-4 away where a probability is near 1."""
    source = recording("three-objects")
    frames = source["frames"][:2]
    initial = np.zeros(frames.shape[1:3], np.uint8)
    for place in range(13):
        top, left = 10 + 50 * (place // 5), 8 + 55 * (place % 5)
        initial[top : top + 35, left : left + 40] = place + 1
    settings = json.loads(str(source["settings"])) | {"objects": 13}
    session = VmosSession(deterministic_model(), parity._config(settings), "cpu")
    session.start(frames[0], initial, 13)
    prediction = session.predict(frames[1])
    exact = merge_groups([logits.double() for logits in prediction.group_logits])[0].numpy()
    case = {
        "frames": frames,
        "initial_labels": initial,
        "labels": np.stack([initial, prediction.decide().labels]),
        "logits": exact[None].astype(np.float32),
        "settings": np.array(json.dumps(settings)),
    }
    file = tmp_path / "thirteen.npz"
    np.savez(file, **case)
    assert exact.shape[0] == 14 and np.abs(prediction.logits.numpy() - exact).max() > 1e-4
    assert parity.main([str(file), "--forced"]) == 0
    assert capsys.readouterr().out.endswith("labels 100.0000 %  ok\n")
    np.savez(file, **case | {"logits": case["logits"] + np.float32(2e-4)})
    assert parity.main([str(file), "--forced"]) == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"logits": slice(0, 2)}, "logits of shape [2, 4, 41, 73] for 20 frames"),
        ({"labels": slice(0, 2)}, "labels of shape [2, 161, 289] for frames [20, 161, 289, 3]"),
        ({"frames": slice(0, 1)}, "frames of shape [1, 161, 289, 3]; two or more"),
        ({"frames": slice(0, 0)}, "frames of shape [0, 161, 289, 3]; two or more"),
    ],
)
def test_a_recording_that_lacks_frames_or_their_answers_is_refused(
    tmp_path, capsys, changed, words
):
    case = dict(recording("three-objects"))
    np.savez(
        file := tmp_path / "case.npz", **case | {n: case[n][part] for n, part in changed.items()}
    )
    assert parity.main([str(file)]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("objects", [None, "x", 0])
def test_a_recording_that_does_not_count_its_objects_is_refused(tmp_path, capsys, objects):
    case = dict(recording("three-objects"))
    settings = json.loads(str(case["settings"])) | {"objects": objects}
    np.savez(file := tmp_path / "case.npz", **case | {"settings": json.dumps(settings)})
    assert parity.main([str(file)]) == 2
    assert "its settings cannot be used" in capsys.readouterr().err


def test_a_device_that_is_not_here_is_told(capsys):
    assert parity.main([str(PARITY / "three-objects.npz"), "--device", "nope"]) == 2
    assert "device 'nope' cannot be used here" in capsys.readouterr().err
