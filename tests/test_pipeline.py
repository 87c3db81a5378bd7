"""The pipeline over a stand-in session, whose answers are painted into the frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pytest

from tracker.config import ConfigError, preset
from tracker.frames import FrameError
from tracker.labels import MaskError
from tracker.pipeline import HQTracker, NotInitializedError
from tracker.prompts import BoxPrompt, PolygonPrompt, PromptError, fallback_mask

SHAPE = (20, 30)


@dataclass(frozen=True)
class Answer:
    labels: np.ndarray
    confidence: np.ndarray


@dataclass
class PaintedSession:
    """Answers the labels in the frame's red channel: id 10 k means object k."""

    count: int = 0
    answers: list[np.ndarray] = field(default_factory=list)

    def start(self, image: np.ndarray, labels: np.ndarray, count: int) -> Answer:
        self.count = count
        return self._answer(labels)

    def step(self, image: np.ndarray) -> Answer:
        return self._answer(image[..., 0] // 10)

    def step_and_add(self, image: np.ndarray, labels: np.ndarray, count: int) -> Answer:
        old, self.count = self.count, self.count + count
        return self._answer(np.where(labels > 0, labels + old, image[..., 0] // 10))

    def _answer(self, labels: np.ndarray) -> Answer:
        self.answers.append(labels.copy())
        dtype = np.uint8 if self.count < 256 else np.uint16
        return Answer(labels.astype(dtype), np.full(self.count, 0.75, np.float32))


@dataclass(frozen=True)
class Boxed:
    masks: np.ndarray


@dataclass
class BoxFiller:
    """Refines to the whole box, grown by `grow` pixels on every side."""

    encodes_ahead = False
    grow: int = 0
    boxes: list[list[list[int]]] = field(default_factory=list)

    def refine(self, image: np.ndarray, boxes: np.ndarray) -> Boxed:
        self.boxes.append(boxes.tolist())
        masks = np.zeros((len(boxes), *image.shape[:2]), bool)
        for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
            rows = slice(max(0, top - self.grow), bottom + 1 + self.grow)
            mask[rows, max(0, left - self.grow) : right + 1 + self.grow] = True
        return Boxed(masks)


def rectangle(top: int, left: int, bottom: int, right: int, shape=SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def frame(*masks: np.ndarray | None, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    image = np.zeros((*shape, 3), np.uint8)
    for number, mask in enumerate(masks, start=1):
        if mask is not None:
            image[mask, 0] = 10 * number
    return image


def make(refiner: object = None, gate: float = 0.1) -> tuple[HQTracker, list[PaintedSession]]:
    sessions: list[PaintedSession] = []

    def new_session() -> PaintedSession:
        sessions.append(PaintedSession())
        return sessions[-1]

    config = preset("hqtrack-lite", refiner__gate_iou=gate, presence__threshold=0.0)
    return HQTracker(new_session, refiner, config, "stand-in"), sessions


A, B, C = rectangle(2, 3, 9, 12), rectangle(6, 9, 15, 20), rectangle(16, 25, 18, 28)


def test_the_first_frame_answers_the_masks_as_given_smaller_on_top() -> None:
    tracker, _ = make(BoxFiller(grow=3))
    result = tracker.initialize(frame(), [A, B, C])
    np.testing.assert_array_equal(result.masks[0], A)
    np.testing.assert_array_equal(result.masks[1], B & ~A)
    np.testing.assert_array_equal(result.masks[2], C)
    assert not result.refined.any() and result.present.all() and result.count == 3


def test_track_answers_the_segmenter_when_there_is_no_refiner() -> None:
    tracker, _ = make()
    tracker.initialize(frame(), [A, B])
    result = tracker.track(frame(None, C))
    np.testing.assert_array_equal(result.labels, 2 * C)
    assert result.present.tolist() == [False, True] and not result.refined.any()


def test_objects_are_numbered_in_order_of_arrival_for_ever() -> None:
    tracker, _ = make()
    tracker.initialize(frame(), [A])
    added = tracker.add_objects(frame(A), [C])
    np.testing.assert_array_equal(added.labels, A + 2 * C)
    assert tracker.track(frame(None, C)).present.tolist() == [False, True]
    again = tracker.add_objects(frame(A, C), [rectangle(0, 0, 0, 0)])
    np.testing.assert_array_equal(again.labels, A + 2 * C + 3 * rectangle(0, 0, 0, 0))
    assert tracker.count == again.count == len(again.refined) == 3


def test_fault_boxes_are_tight_and_inclusive_and_absent_objects_are_not_prompted() -> None:
    refiner = BoxFiller()
    tracker, _ = make(refiner)
    tracker.initialize(frame(), [A, B, C])
    holed = A & ~rectangle(3, 4, 3, 4)
    tracker.track(frame(holed, None, rectangle(19, 29, 19, 29)))
    assert refiner.boxes == [[[3, 2, 12, 9], [29, 19, 29, 19]]]
    tracker.track(frame())
    assert len(refiner.boxes) == 1, "without objects in view there is nothing to refine"


def test_a_refined_mask_replaces_the_segmenters() -> None:
    tracker, _ = make(BoxFiller())
    tracker.initialize(frame(), [A])
    result = tracker.track(frame(A & ~rectangle(3, 4, 3, 4)))
    np.testing.assert_array_equal(result.masks[0], A)
    assert result.refined.tolist() == [True]


@pytest.mark.parametrize(("threshold", "kept"), [(0.64, True), (0.65, False), (1.0, False)])
def test_fault_refined_masks_are_gated_by_their_iou(threshold: float, kept: bool) -> None:
    """A square of 8 x 8 refined to 10 x 10: IoU 0.64, kept at the threshold itself."""
    square = rectangle(5, 5, 12, 12)
    tracker, _ = make(BoxFiller(grow=1), threshold)
    tracker.initialize(frame(), [square])
    result = tracker.track(frame(square))
    assert result.refined.tolist() == [kept]
    np.testing.assert_array_equal(result.labels, rectangle(4, 4, 13, 13) if kept else square)


def test_fault_the_merge_uses_ids_when_object_one_is_absent() -> None:
    tracker, _ = make(BoxFiller(grow=2))
    tracker.initialize(frame(), [C, A, B])
    two, three = rectangle(3, 3, 10, 12), rectangle(3, 14, 8, 18)
    result = tracker.track(frame(None, two, three))
    grown_two, grown_three = rectangle(1, 1, 12, 14), rectangle(1, 12, 10, 20)
    assert (grown_two & grown_three).any()
    np.testing.assert_array_equal(result.masks[2], grown_three)
    np.testing.assert_array_equal(result.masks[1], grown_two & ~grown_three)
    assert result.present.tolist() == [False, True, True]


def test_a_new_object_keeps_its_given_mask_and_is_not_prompted() -> None:
    refiner = BoxFiller(grow=2)
    tracker, _ = make(refiner)
    tracker.initialize(frame(), [C])
    small, given = rectangle(5, 5, 7, 7), rectangle(0, 8, 19, 20)
    result = tracker.add_objects(frame(small), [given])
    np.testing.assert_array_equal(result.masks[1], given)
    np.testing.assert_array_equal(result.masks[0], rectangle(3, 3, 9, 9) & ~given)
    assert len(refiner.boxes[0]) == 1 and result.refined.tolist() == [True, False]


def test_the_segmenter_never_sees_refined_masks() -> None:
    tracker, sessions = make(BoxFiller(grow=2))
    tracker.initialize(frame(), [A])
    kept = sessions[0].step(frame(A))
    before = kept.labels.copy()
    sessions[0].step = lambda image: kept
    assert tracker.track(frame(A)).refined.all()
    np.testing.assert_array_equal(kept.labels, before)


def test_an_object_hidden_by_the_merge_is_absent_and_without_confidence() -> None:
    """Both are refined to the same box: the first on top."""
    tracker, _ = make(BoxFiller(), gate=0.0)
    tracker.initialize(frame(), [A, B])
    corners = rectangle(2, 2, 2, 2) | rectangle(9, 9, 9, 9)
    inside = rectangle(2, 3, 2, 9) | rectangle(9, 2, 9, 8)
    result = tracker.track(frame(corners, inside))
    assert result.present.tolist() == [True, False]
    assert result.confidence.tolist() == [0.75, 0]


def test_fault_the_frame_size_may_change_mid_video() -> None:
    tracker, _ = make(BoxFiller())
    tracker.initialize(frame(), [A])
    for shape in [(40, 12), (12, 13), SHAPE]:
        mask = rectangle(2, 3, 9, 8, shape)
        result = tracker.track(frame(mask, shape=shape))
        np.testing.assert_array_equal(result.masks, mask[None])
    added = tracker.add_objects(frame(shape=(6, 7)), [rectangle(1, 1, 2, 2, (6, 7))])
    assert added.labels.shape == (6, 7)


def test_more_than_255_objects() -> None:
    tracker, _ = make(BoxFiller())
    masks = np.zeros((300, *SHAPE), bool)
    masks.reshape(300, -1)[np.arange(300), np.arange(300)] = True
    result = tracker.initialize(frame(), masks)
    assert result.labels.dtype == np.uint16
    np.testing.assert_array_equal(result.masks, masks)
    later = tracker.track(frame(A))
    assert later.labels.dtype == np.uint16 and later.present.sum() == 1


def test_grey_deep_and_transparent_frames_are_taken() -> None:
    tracker, _ = make()
    tracker.initialize(np.zeros(SHAPE, np.uint8), [A])
    grey = frame(A)[..., 0]
    for image in (grey, grey.astype(np.uint16) * 257, np.dstack([grey] * 4)):
        np.testing.assert_array_equal(tracker.track(image).labels, A)


def test_frames_before_initialize_are_an_error() -> None:
    tracker, _ = make()
    with pytest.raises(NotInitializedError, match="initialize"):
        tracker.track(frame())
    with pytest.raises(NotInitializedError, match="initialize"):
        tracker.add_objects(frame(), [A])


def test_bad_input_is_an_error_and_leaves_the_tracker_as_it_was() -> None:
    tracker, sessions = make()
    tracker.initialize(frame(), [A])
    calls = [
        (MaskError, "no objects", lambda: tracker.initialize(frame(), [])),
        (MaskError, "object 1 .*empty", lambda: tracker.initialize(frame(), [A & ~A])),
        (MaskError, r"\(30, 20\)", lambda: tracker.initialize(frame(), [A.T])),
        (FrameError, "float64", lambda: tracker.initialize(np.zeros((20, 30, 3)), [A])),
        (MaskError, "no objects", lambda: tracker.add_objects(frame(), [])),
        (MaskError, "object 2 .*empty", lambda: tracker.add_objects(frame(), [B, B & ~B])),
        (MaskError, r"\(5, 5\)", lambda: tracker.add_objects(frame(), [np.ones((5, 5))])),
        (FrameError, r"\(20,\)", lambda: tracker.track(np.zeros(20, np.uint8))),
    ]
    for error, message, call in calls:
        with pytest.raises(error, match=message):
            call()
    assert len(sessions) == 1 and len(sessions[0].answers) == 1 and tracker.count == 1
    np.testing.assert_array_equal(tracker.track(frame(A)).labels, A)


@pytest.mark.parametrize("objects", [BoxPrompt(1, 1, 4, 4), None, "mask.png", A])
def test_objects_that_are_no_list_are_refused(objects: object) -> None:
    with pytest.raises(MaskError, match=r"given as a list of masks and prompts"):
        HQTracker(PaintedSession, None, preset("hqtrack"), "none").initialize(frame(), objects)
    with pytest.raises(MaskError, match=r"given as a list of masks and prompts"):
        HQTracker(PaintedSession, None, preset("hqtrack"), "none").masks_of(frame(), objects)


def test_objects_may_come_one_by_one() -> None:
    one = HQTracker(PaintedSession, None, preset("hqtrack"), "none")
    masks = (rectangle(2, 2 + 9 * n, 8, 8 + 9 * n) for n in range(2))
    assert one.initialize(frame(), masks).present.tolist() == [True, True]


def test_initialize_again_forgets_the_video_before() -> None:
    tracker, sessions = make()
    tracker.initialize(frame(), [A, B])
    assert tracker.initialize(frame(), [C]).count == tracker.count == 1
    assert len(sessions) == 2 and tracker.track(frame(C)).count == 1


def test_an_object_wholly_under_another_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    tracker, _ = make()
    result = tracker.initialize(frame(), [A, A])
    assert result.present.tolist() == [True, False]
    assert "new object 2 lies wholly under" in caplog.text


def test_a_gate_outside_zero_to_one_is_an_error() -> None:
    for gate in (-0.1, 60, float("nan")):
        with pytest.raises(ConfigError, match="gate_iou"):
            make(gate=gate)


@dataclass
class SlowFiller(BoxFiller):
    """Takes time from a clock that is set by hand, and encodes first where it is told to."""

    clock: list[float] = field(default_factory=lambda: [0.0])
    seconds: float = 0.03
    encoded: int = 0

    def encode(self, image: np.ndarray) -> tuple[str, np.ndarray]:
        self.encoded += 1
        return "code", image

    def refine(self, image: object, boxes: np.ndarray) -> Boxed:
        self.clock[0] += self.seconds
        if self.encodes_ahead:
            name, image = image
            assert name == "code"
        return super().refine(image, boxes)


def hurried(refiner: SlowFiller, segmenting: list[float], **settings: object) -> list[bool]:
    """Whether each frame was refined, the segmenter taking these seconds; both have 50 ms."""
    times = iter(segmenting)

    class SlowSession(PaintedSession):
        def step(self, image: np.ndarray) -> Answer:
            refiner.clock[0] += next(times)
            return super().step(image)

    overrides = {f"realtime__{key}": value for key, value in settings.items()}
    config = preset("hqtrack-lite", realtime__deadline_ms=50, **overrides)
    tracker = HQTracker(SlowSession, refiner, config, "", clock=lambda: refiner.clock[0])
    tracker.initialize(frame(), [A])
    holed = A & ~rectangle(3, 4, 3, 4)
    results = [tracker.track(frame(holed)) for _ in segmenting]
    for result in results:
        np.testing.assert_array_equal(result.masks[0], A if result.refined[0] else holed)
    return [bool(result.refined[0]) for result in results]


def test_under_a_deadline_frames_without_time_keep_the_segmenters_masks() -> None:
    times = [0.01, 0.01, 0.03, 0.01]
    assert hurried(SlowFiller(), times) == [True, True, False, True]
    assert hurried(SlowFiller(), times, refine_every=2) == [True, False, False, True]
    assert hurried(SlowFiller(seconds=0.2), [0.01] * 4) == [True, False, False, False]
    often = hurried(SlowFiller(seconds=0.2), [0.01] * 4, refine_at_least=3)
    assert often == [True, False, False, True]


def test_a_refiner_that_encodes_ahead_is_given_its_code_of_the_frame() -> None:
    refiner = SlowFiller()
    refiner.encodes_ahead = True
    assert hurried(refiner, [0.01, 0.01], refine_every=2) == [True, False]
    assert refiner.encoded == 1


@pytest.fixture(scope="module")
def light_model() -> object:
    import torch

    from tracker.vmos.model import VmosModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VmosModel(preset("hqtrack-lite").vmos).eval()


def test_two_trackers_interleaved_on_shared_models_equal_two_run_alone(
    light_model: object,
) -> None:
    from tracker.vmos.session import VmosSession

    config = preset("hqtrack-lite", frame__min_pixels=None)
    refiner = BoxFiller(grow=1)

    def tracker() -> HQTracker:
        return HQTracker(lambda: VmosSession(light_model, config, "cpu"), refiner, config, "")

    def video(seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        rng = np.random.default_rng(seed)
        frames = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(4)]
        corners = rng.integers(0, 20, (seed, 2))
        return frames, [rectangle(y, x, y + 20, x + 25, (48, 64)) for y, x in corners]

    def run(videos: list) -> list[list[np.ndarray]]:
        trackers = [tracker() for _ in videos]
        found = [[t.initialize(v[0][0], v[1])] for t, v in zip(trackers, videos, strict=True)]
        for number in range(1, 4):
            for t, v, results in zip(trackers, videos, found, strict=True):
                results.append(t.track(v[0][number]))
        return found

    videos = [video(1), video(3)]
    together, alone = run(videos), [run([one])[0] for one in videos]
    for a, b in zip(chain(*together), chain(*alone), strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.confidence, b.confidence)
    assert {tuple(np.unique(r.labels)) for r in together[1]} != {(0,)}


def test_objects_start_from_prompts_and_masks_side_by_side() -> None:
    tracker, _ = make()
    box = BoxPrompt(16, 11, 8, 6)
    result = tracker.initialize(frame(), [A, box])
    np.testing.assert_array_equal(result.masks[0], A)
    np.testing.assert_array_equal(result.masks[1], tracker.masks_of(frame(), [box])[0])
    added = tracker.add_objects(frame(A), [PolygonPrompt(((25, 16), (29, 16), (29, 19), (25, 19)))])
    assert added.count == 3 and added.masks[2][17, 26]
    with pytest.raises(PromptError, match="outside the frame"):
        tracker.initialize(frame(), [A, BoxPrompt(500, 5, 3, 2)])
    assert tracker.count == 3


@dataclass
class Prompted(BoxFiller):
    """Segments the left upper pixel of a box, and nothing for other prompts."""

    def segment(self, image: np.ndarray, prompts: list) -> Boxed:
        masks = np.zeros((len(prompts), *image.shape[:2]), bool)
        for mask, prompt in zip(masks, prompts, strict=True):
            if isinstance(prompt, BoxPrompt):
                mask[prompt.y, prompt.x] = True
        return Boxed(masks)


def test_a_refiner_segments_prompts_and_what_it_misses_is_guessed() -> None:
    tracker, _ = make(Prompted())
    polygon = PolygonPrompt(((5, 5), (9, 5), (9, 9), (5, 9)))
    found = tracker.masks_of(frame(), [BoxPrompt(4, 3, 9, 9), polygon])
    assert np.argwhere(found[0]).tolist() == [[3, 4]]
    np.testing.assert_array_equal(found[1], fallback_mask(frame(), polygon))
    assert tracker.masks_of(frame(), []).shape == (0, *SHAPE)


@dataclass
class DoubtingSession(PaintedSession):
    """Becomes less sure of its objects in its third frame, of later ones more: 1/2, 1/3, 1/4."""

    def _answer(self, labels: np.ndarray) -> Answer:
        answer = super()._answer(labels)
        doubt = np.arange(2, 2 + self.count) if len(self.answers) == 3 else 1
        return Answer(answer.labels, answer.confidence / doubt)


@pytest.mark.parametrize(("threshold", "kept"), [(0.0, 3), (0.3, 2), (0.4, 1), (0.6, 0)])
def test_an_object_is_absent_that_becomes_doubtful(threshold: float, kept: int) -> None:
    config = preset("hqtrack-lite", presence__threshold=threshold)
    refiner = BoxFiller()
    tracker = HQTracker(DoubtingSession, refiner, config, "stand-in")
    masks = rectangle(0, 0, 3, 3), rectangle(5, 5, 8, 8), rectangle(12, 12, 15, 15)
    assert tracker.initialize(frame(), masks).present.all()
    assert tracker.track(frame(*masks)).present.all()
    refiner.boxes.clear()
    result = tracker.track(frame(*masks))
    assert result.present.tolist() == [number < kept for number in range(3)]
    assert (result.confidence > 0).tolist() == result.present.tolist()
    assert sum(map(len, refiner.boxes)) == kept
