"""A session and a tracker that are saved and go on as if they had never stopped."""

from __future__ import annotations

import copy
import errno
import pickle
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from tests.networks import SMALL, small_model
from tests.test_session import session, squares, video
from tracker.config import preset
from tracker.pipeline import HQTracker
from tracker.saved import StateError, load_state, save_state
from tracker.vmos.fingerprint import fingerprint
from tracker.vmos.precision import hold_products_in_bfloat16
from tracker.vmos.session import VmosSession


def tracker(note: str = "small", **settings: int) -> HQTracker:
    config = preset("hqtrack", refiner__model=None, **settings)
    return HQTracker(lambda: VmosSession(small_model(), SMALL, "cpu"), None, config, note)


def test_a_restored_tracker_goes_on_as_the_one_that_was_saved(tmp_path: Path) -> None:
    """With two groups, an object added, one removed, and a change of the frame size after it."""
    frames = [*video(7), video(1, 65, 81)[0], *video(3, seed=2)]
    one = tracker()
    one.initialize(frames[0], [squares(11) == n for n in range(1, 12)])
    for number in range(1, 6):
        if number == 3:
            one.add_objects(frames[3], [squares(12) == 12])
            one.remove_objects([2])
        else:
            one.track(frames[number])
    one.save_state(tmp_path / "state.safetensors")
    other = tracker()
    other.load_state(tmp_path / "state.safetensors")
    assert (other.count, other.objects) == (one.count, one.objects)
    for image in frames[6:9]:
        ours, theirs = one.track(image), other.track(image)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.confidence, theirs.confidence)
    one.remove_objects([5])
    other.remove_objects([5])
    for image in frames[9:]:
        np.testing.assert_array_equal(one.track(image).labels, other.track(image).labels)
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_what_is_packed_is_bounded() -> None:
    one = session()
    one.start(video(1)[0], squares(2), 2)
    sizes = []
    for number in range(1, 16):
        one.step(video(8)[number % 8])
        sizes.append(sum(tensor.nbytes for tensor in one.pack()[0].values()))
    assert sizes[6] == sizes[8] == sizes[14]


def test_a_state_of_other_settings_or_none_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    one = tracker()
    one.initialize(video(1)[0], [squares(1) > 0])
    one.save_state(path)
    for other in (tracker("others"), tracker(memory__interval=7)):
        with pytest.raises(StateError, match="other settings or weights"):
            other.load_state(path)
    path.write_bytes(path.read_bytes()[:1000])
    for broken in (path, tmp_path / "gone"):
        with pytest.raises(StateError, match="cannot go on from"):
            tracker().load_state(broken)
    assert torch.is_grad_enabled()


def test_a_path_may_be_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = tracker(), tracker()
    frames = video(3)
    one.initialize(frames[0], [squares(1) > 0])
    one.save_state("x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    other.load_state("x")
    np.testing.assert_array_equal(one.track(frames[1]).labels, other.track(frames[1]).labels)
    with pytest.raises(StateError, match="cannot go on from gone"):
        other.load_state("gone")


FULL = "Error while serializing: I/O error: No space left on device (os error 28)"


@pytest.mark.parametrize(("text", "number"), [(FULL, errno.ENOSPC), ("something else", None)])
def test_a_full_disk_leaves_the_state_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, number: int | None
) -> None:
    """safetensors has an error of its own for it, and older ones leave half a file."""
    path = tmp_path / "s"
    save_state(path, {"a": torch.arange(3)}, {"frame": 1}, "small")

    def fail(_: object, part: Path, __: object) -> None:
        part.write_bytes(b"half")
        raise SafetensorError(text)

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(OSError, match=str(path)) as failed:
        save_state(path, {"a": torch.zeros(3)}, {"frame": 2}, "small")
    assert failed.value.errno == number
    assert (number is not None) == ("No space left on device" in str(failed.value))
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    tensors, record = load_state(path, "small")
    assert tensors["a"].tolist() == [0, 1, 2] and record == {"frame": 1}


def test_a_state_that_cannot_be_put_where_it_shall_leaves_nothing(tmp_path: Path) -> None:
    """A folder that is not there; a folder in the place of the file."""
    (tmp_path / "taken").mkdir()
    for name, error in [("no/s", FileNotFoundError), ("taken", IsADirectoryError)]:
        with pytest.raises(error, match=str(tmp_path / name)):
            save_state(tmp_path / name, {"a": torch.zeros(3)}, {}, "small")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_state_of_other_weights_is_refused(tmp_path: Path) -> None:
    one = tracker()
    one.initialize(video(1)[0], [squares(1) > 0])
    one.save_state(tmp_path / "s")
    changed = copy.deepcopy(small_model())
    with torch.no_grad():
        changed.decoder.logits.weight.mul_(1.05)
    other = HQTracker(lambda: VmosSession(changed, SMALL, "cpu"), None, one.config, "small")
    with pytest.raises(StateError, match=r"other weights \(digest [0-9a-f]{12}"):
        other.load_state(tmp_path / "s")
    assert other.count == 0


def test_weights_held_in_bfloat16_are_the_same_weights() -> None:
    held = copy.deepcopy(small_model())
    hold_products_in_bfloat16(held)
    assert {p.dtype for p in held.parameters()} == {torch.float32, torch.bfloat16}
    assert fingerprint(held) == fingerprint(small_model())


def test_an_interrupted_addition_leaves_the_session_as_it_was() -> None:
    frames = video(4)
    one, other = session(), session()
    for each in (one, other):
        each.start(frames[0], squares(11), 11)
        each.step(frames[1])
    new = np.where(squares(13) > 11, squares(13) - 11, 0)
    with (
        mock.patch.object(VmosSession, "_introduce", _introduce_and_be_interrupted),
        pytest.raises(KeyboardInterrupt),
    ):
        one.step_and_add(frames[2], new, 2)
    assert one.count == 11
    for ours, theirs in (
        (one.step_and_add(frames[2], new, 2), other.step_and_add(frames[2], new, 2)),
        (one.step(frames[3]), other.step(frames[3])),
    ):
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.confidence, theirs.confidence)


_introduce = VmosSession._introduce


def _introduce_and_be_interrupted(*arguments: object) -> None:
    _introduce(*arguments)
    raise KeyboardInterrupt


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_tracker_is_not_copied_or_pickled_and_the_way_is_told(
    duplicate: Callable[[HQTracker], object],
) -> None:
    with pytest.raises(TypeError, match=r"cannot be copied or pickled.*save_state.*load_state"):
        duplicate(tracker())
