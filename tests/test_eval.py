"""The eval command on small synthetic videos."""

import json
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from PIL import Image

from tracker.bench import eval_vos
from tracker.bench.floors import RepeatFirstMask, WarpByFlow
from tracker.bench.one_by_one import OneByOne
from tracker.training.sources import find_videos

SHAPE = (64, 96)


def scene(t: int, ids=(1,), speed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Textured squares that move over a still texture."""
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (*SHAPE, 3)).astype(np.uint8), (0, 0), 2)
    labels = np.zeros(SHAPE, np.uint8)
    for k, i in enumerate(ids):
        patch = cv2.GaussianBlur(rng.integers(0, 255, (16, 16, 3)).astype(np.uint8), (0, 0), 1)
        y, x = 8 + 26 * k, 10 + speed * t
        image[y : y + 16, x : x + 16] = patch
        labels[y : y + 16, x : x + 16] = i
    return image, labels


def write_video(root, name, frames, masks):
    (root / name / "frames").mkdir(parents=True)
    (root / name / "masks").mkdir()
    for t, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        cv2.imwrite(str(root / name / "frames" / f"{t:05d}.png"), frame[..., ::-1])
        if mask is not None:
            Image.fromarray(mask).save(root / name / "masks" / f"{t:05d}.png")


@dataclass
class Answer:
    labels: np.ndarray


class Oracle:
    """Knows the masks; `wrong` shifts the answer, `calls` records what was asked."""

    def __init__(self, answers):
        self.answers, self.calls, self.t = answers, [], 0

    def _answer(self, name, masks=None):
        self.calls.append((name, None if masks is None else len(masks)))
        self.t += 1
        return Answer(self.answers[self.t - 1])

    def initialize(self, image, masks):
        return self._answer("initialize", masks)

    def track(self, image):
        return self._answer("track")

    def add_objects(self, image, masks):
        return self._answer("add_objects", masks)


@pytest.fixture
def two_objects(tmp_path):
    """Ids 2 and 5 in the masks; 5 comes in frame 2 and is absent in frame 4."""
    seen = [(2,), (2,), (2, 5), (2, 5), (2,), (2, 5)]
    pairs = [scene(t, ids) for t, ids in enumerate(seen)]
    write_video(tmp_path, "pair", *zip(*pairs, strict=True))
    arrival = np.zeros(6, np.uint8)
    arrival[[2, 5]] = 1, 2
    return tmp_path, [arrival[m] for _, m in pairs]


def test_perfect_answers_score_one_and_objects_join_when_they_appear(two_objects):
    root, answers = two_objects
    oracle = Oracle(answers)
    score = eval_vos.evaluate_video(oracle, find_videos(root)[0])
    assert oracle.calls[0] == ("initialize", 1)
    assert [c[0] for c in oracle.calls] == ["initialize", "track", "add_objects"] + ["track"] * 3
    assert sorted(score.objects) == [2, 5]
    assert score.objects[2].frames == 4  # six frames without the first and the last
    assert score.objects[5].frames == 2  # from the frame after it was given
    assert score.objects[5].absent == 1
    assert score.objects[5].false_presence == 0.0
    assert eval_vos.mean([score]).jf == 1.0


def test_a_ghost_is_reported_as_false_presence(two_objects):
    root, answers = two_objects
    answers[4] = answers[4].copy()
    answers[4][0, 0] = 2
    score = eval_vos.evaluate_video(Oracle(answers), find_videos(root)[0])
    assert score.objects[5].false_presence == 1.0
    assert score.objects[5].j == 0.5


def test_frames_without_masks_are_tracked_but_not_scored(tmp_path):
    pairs = [scene(t) for t in range(5)]
    masks = [pairs[0][1], None, pairs[2][1], None, pairs[4][1]]
    write_video(tmp_path, "sparse", [p[0] for p in pairs], masks)
    oracle = Oracle([p[1] for p in pairs])
    score = eval_vos.evaluate_video(oracle, find_videos(tmp_path)[0])
    assert len(oracle.calls) == 5
    assert score.objects[1].frames == 1


def test_floors_repeat_and_follow_flow(tmp_path):
    pairs = [scene(t) for t in range(8)]
    write_video(tmp_path, "moving", *zip(*pairs, strict=True))
    video = find_videos(tmp_path)[0]
    repeat = eval_vos.evaluate_video(RepeatFirstMask(), video).objects[1]
    overlaps = [(16 - 2 * t) / (16 + 2 * t) for t in range(1, 7)]
    assert repeat.j == pytest.approx(np.mean(overlaps))
    flow = eval_vos.evaluate_video(WarpByFlow(), video).objects[1]
    assert flow.j > repeat.j + 0.2


def test_command_prints_all_methods_and_writes_json(two_objects, capsys):
    root, answers = two_objects
    out = root / "out" / "scores.json"
    arguments = ["--data", str(root), "--json", str(out)]
    assert eval_vos.main(arguments, tracker=lambda: Oracle(answers)) == 0
    printed = capsys.readouterr().out
    assert "warp by flow" in printed
    assert "repeat first mask" in printed
    scores = json.loads(out.read_text())
    assert scores["hqtrack-lite"]["mean"]["jf"] == 1.0
    assert scores["hqtrack-lite"]["sequences"][0]["objects"]["5"]["absent"] == 1
    assert scores["repeat first mask"]["mean"]["false_presence"] == 1.0


def test_data_that_differ_from_their_manifest_are_refused(two_objects, capsys):
    root, _ = two_objects
    facts = {"name": "pair", "frames": 6, "width": 96, "height": 64, "objects": 2}
    manifest = root / "manifest.json"
    manifest.write_text(json.dumps({"sequences": [facts]}))
    assert eval_vos.check_manifest(root, find_videos(root)) == []
    manifest.write_text(json.dumps({"sequences": [{**facts, "frames": 7}, {"name": "gone"}]}))
    assert eval_vos.main(["--data", str(root), "--floors-only"]) == 2
    error = capsys.readouterr().err
    assert "pair: frames 6, the manifest says 7" in error
    assert "gone: listed" in error


def test_unknown_sequence_and_folder_are_named(two_objects, capsys):
    root, _ = two_objects
    assert eval_vos.main(["--data", str(root), "--sequences", "nope", "--floors-only"]) == 2
    assert "nope" in capsys.readouterr().err
    assert eval_vos.main(["--data", str(root / "absent")]) == 2
    assert "absent" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-frames", "0"], "--max-frames: '0' is no whole number from 1"),
        (["--max-frames", "-3"], "--max-frames: '-3' is no whole number from 1"),
        (["--threads", "-1"], "--threads: '-1' is no whole number from 1"),
        (["--json", "."], "--json: . is a folder"),
        (["--floors-only", "--no-floors"], "not allowed with argument --floors-only"),
    ],
)
def test_senseless_arguments_are_refused_at_once(two_objects, capsys, arguments, message):
    root, _ = two_objects
    with pytest.raises(SystemExit) as end:
        eval_vos.main(["--data", str(root), *arguments], tracker=RepeatFirstMask)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_weights_of_a_file_run_with_their_own_network(two_objects, capsys):
    import torch

    from tracker.checkpoints import save_bundled
    from tracker.config import preset
    from tracker.vmos.model import VmosModel

    root, _ = two_objects
    config = preset("hqtrack-lite").vmos
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_bundled(VmosModel(config).state_dict(), config, root / "trained.safetensors", {})
    arguments = ["--data", str(root), "--weights", str(root / "trained.safetensors")]
    arguments += ["--max-frames", "3", "--no-floors", "--device", "cpu", "--json"]
    arguments += [str(root / "s.json"), "--set", "frame__min_pixels=5000"]
    assert eval_vos.main(arguments) == 0
    scores = json.loads((root / "s.json").read_text())
    assert scores["hqtrack-lite"]["sequences"][0]["frames"] == 3
    assert 0 <= scores["hqtrack-lite"]["mean"]["jf"] <= 1
    assert eval_vos.main([*arguments, "--device", "gpu"]) == 2
    assert "eval: device 'gpu' cannot be used here" in capsys.readouterr().err
    (root / "broken.safetensors").write_bytes(b"nothing")
    assert eval_vos.main([*arguments[:3], str(root / "broken.safetensors"), "--no-floors"]) == 2
    assert "broken.safetensors" in capsys.readouterr().err
    assert eval_vos.main([*arguments, "--set", "memory__intervall=3"]) == 2
    assert "memory__interval" in capsys.readouterr().err


def test_one_by_one_every_object_has_a_tracker_of_its_own_and_the_smaller_lies_on_top():
    made = []

    def make():
        made.append(RepeatFirstMask())
        return made[-1]

    large, small, late = (np.zeros(SHAPE, bool) for _ in range(3))
    large[10:50, 10:60], small[20:30, 20:30], late[0:4, 0:4] = True, True, True
    alone = OneByOne(make)
    image = np.zeros((*SHAPE, 3), np.uint8)
    first = alone.initialize(image, [small, large])
    np.testing.assert_array_equal(first.labels, np.where(small, 1, 2 * large))
    added = alone.add_objects(image, [late])
    np.testing.assert_array_equal(added.labels, first.labels + 3 * late)
    np.testing.assert_array_equal(alone.track(image).labels, added.labels)
    assert len(made) == 3
    alone.initialize(image, [late])
    np.testing.assert_array_equal(alone.track(image).labels, late)


def test_the_one_by_one_row_stands_beside_the_joint_one(two_objects, capsys):
    root, _ = two_objects
    argv = ["--data", str(root), "--no-floors", "--one-by-one"]
    assert eval_vos.main(argv, tracker=RepeatFirstMask) == 0
    assert "one by one" in capsys.readouterr().out
