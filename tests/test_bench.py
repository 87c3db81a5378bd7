"""The speed benchmark: its statistics, the reference schedule against ours, and the command."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.networks import SMALL, small_model
from tracker.bench import filled, machine, measure, opencv_floor, records, reference, tables
from tracker.bench.clip import Clip, draw_clip
from tracker.bench.job import Job
from tracker.bench.measure import Measured
from tracker.bench.options import MOST_OBJECTS, parse, refiner_of
from tracker.bench.served import Service
from tracker.bench.speed import Bench, main
from tracker.bench.stages import STAGES
from tracker.checkout import WEIGHTS
from tracker.config import preset
from tracker.vmos.attention import global_attention, local_attention
from tracker.vmos.convolution import conv_relu6
from tracker.vmos.deform_conv import deform_conv3_plain
from tracker.vmos.loading import load_vmos
from tracker.vmos.memory import LayerMemory, LongTermMemory
from tracker.vmos.session import VmosSession

NO_ENLARGING = ("--set", "frame__min_pixels=None")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return draw_clip(tmp_path_factory.mktemp("clip"), 48, 80, 6, 4)


@pytest.mark.parametrize("grid", [(5, 7), (16, 9)])
def test_the_reference_attention_is_ours(grid: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    positions = math.prod(grid)
    query, key, value = (
        torch.randn(2, positions, c, generator=generator) for c in (8, 8, 12)
    )  # fmt: skip
    torch.testing.assert_close(
        reference.dense_global_attention(query, key, value), global_attention(query, key, value)
    )
    bias = torch.randn(2, positions, 225, generator=generator)
    case = (query, key, value, bias, grid, 15)
    torch.testing.assert_close(
        reference.dense_local_attention(*case), local_attention(*case), atol=1e-5, rtol=1e-4
    )


def test_the_reference_deformable_convolution_is_ours() -> None:
    generator = torch.Generator().manual_seed(2)
    image = torch.randn(2, 7, 9, 12, generator=generator)
    offset = 3 * torch.randn(2, 7, 9, 3 * 9 * 2, generator=generator)
    mask = torch.rand(2, 7, 9, 27, generator=generator)
    found = reference.sampled_deform_conv3(
        image, offset, mask, kernel=3, stride=1, pad=1, dilation=1, group=3, group_channels=4,
        offset_scale=1.0,
    )  # fmt: skip
    torch.testing.assert_close(
        found, deform_conv3_plain(image, offset, mask, 3, 1, 1, 1, 3, 1.0), atol=1e-4, rtol=1e-4
    )


def test_the_reference_memory_holds_the_same_frames() -> None:
    ours, joined = LongTermMemory(3, 2), reference.JoinedMemory(3, 2)
    for number in range(12):
        memory = (LayerMemory(*(torch.full((1, 1, 1), float(number)),) * 2),)
        for bank in (ours, joined):
            add = bank.add_reference if number in (0, 5) else bank.offer
            add(number, memory)
        assert ours.frames == joined.frames
        assert torch.equal(ours.bank[0].key, joined.bank[0].key)


def test_the_reference_schedule_gives_our_labels(clip: Clip) -> None:
    ours = VmosSession(small_model(), SMALL, "cpu")
    answers = [_labels(ours, clip, number) for number in range(5)]
    assert len(np.unique(answers[-1])) > 2, "the comparison needs objects"
    with reference.swapped("cpu") as calls:
        other = VmosSession(small_model(), SMALL, "cpu")
        theirs = [_labels(other, clip, number) for number in range(5)]
    assert all(calls[n] for n in ("global_attention", "local_attention", "LongTermMemory"))
    shares = [np.mean(a == b) for a, b in zip(answers, theirs, strict=True)]
    assert min(shares) >= 0.999


def _labels(session: VmosSession, clip: Clip, number: int) -> np.ndarray:
    from tracker.frames import read_image

    image = read_image(clip.frame(number))
    return (session.step(image) if number else session.start(image, clip.labels(0, 3), 3)).labels


def test_a_full_memory_from_the_first_measured_frame(clip: Clip) -> None:
    with measure._filling(SMALL.memory):
        session = VmosSession(small_model(), SMALL, "cpu")
        held = []
        for number in range(6):
            _labels(session, clip, number)
            held.append(len(session.memory_frames[0]))
    assert held == [1, 2, 3, 3, 3, 3]


def test_the_reference_encodes_the_image_for_every_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Predictor:
        def __init__(self, network: list[object]) -> None:
            self.calls = network

        def set_image(self, image: np.ndarray) -> None:
            self.calls.append(image.shape)

        def predict(self, box: np.ndarray, multimask_output: bool) -> tuple[np.ndarray, ...]:
            self.calls.append((box.tolist(), multimask_output))
            return np.ones((1, 4, 6), bool), np.array([0.5]), np.zeros(1)

    package = SimpleNamespace(SamPredictor=Predictor)
    monkeypatch.setitem(sys.modules, "segment_anything_hq", package)
    calls: list[object] = []
    boxes = np.array([[0, 0, 1, 1], [2, 2, 3, 3]])
    found = reference.PerObjectRefiner(calls).refine(np.zeros((4, 6, 3), np.uint8), boxes)
    assert calls == [(4, 6, 3), ([0, 0, 1, 1], True), (4, 6, 3), ([2, 2, 3, 3], True)]
    assert found.masks.shape == (2, 4, 6) and found.scores.tolist() == [0.5, 0.5]


def test_the_clip_is_repeatable_and_shows_every_object(clip: Clip, tmp_path: Path) -> None:
    again = draw_clip(tmp_path, 48, 80, 6, 4)
    for number in range(4):
        assert clip.frame(number).read_bytes() == again.frame(number).read_bytes()
        assert np.unique(clip.labels(number, 6)).tolist() == list(range(7))
    assert clip.frame(4) == clip.frame(0)
    assert clip.masks(2).shape == (2, 48, 80) and clip.masks(2).any(axis=(1, 2)).all()
    assert clip.frame(1).read_bytes() != clip.frame(2).read_bytes()


def test_opencv_floors_run(clip: Clip) -> None:
    for make in opencv_floor.installed().values():
        assert len(opencv_floor.time_frames(make, clip, 1, 2)) == 2


def _measured(**changes: object) -> Measured:
    base = {"preset": "hqtrack", "path": "ours", "objects": 1, "weights": "none",
            "seconds": [0.5, 0.5], "rss": [1, 2], "rss_peak": [1, 2], "cuda_peak": [None, None],
            "stages": [{"decode": 0.25, "rest": 0.1}, {"decode": 0.75, "rest": 0.1}],
            "operations": {"decode": 1e9}, "present": 1.0}  # fmt: skip
    return Measured(**{**base, **changes})


def test_a_run_tells_stages_operations_and_share_of_the_ceiling() -> None:
    run = records.run(_measured(), {"float32": 1e10})
    assert (run["frames"], run["median_s"], run["per_second"]) == (2, 0.5, 2.0)
    decode, rest = run["stages"]
    assert decode["stage"] == "decode" and decode["median_s"] == 0.5
    assert decode["share_of_ceiling"] == {"float32": pytest.approx(0.2)}
    assert rest["operations"] is None and rest["share_of_ceiling"] is None


def test_comparison_counts_equal_pixels(tmp_path: Path) -> None:
    folders = (tmp_path / "a", tmp_path / "b")
    for share, folder in enumerate(folders):
        folder.mkdir()
        labels = np.zeros((4, 5), np.uint8)
        np.savez(folder / "0.npz", vmos=labels, final=labels)
        labels[0, :2] = share
        np.savez(folder / "1.npz", vmos=labels, final=labels * 0)
    slower = _measured(path="reference", seconds=[1.0], stages=[{"decode": 1.0}])
    found = records.comparison(_measured(), slower, folders)
    assert (found["frame_speedup"], found["vmos_speedup"]) == (2.0, 2.0)
    assert found["labels_equal"] == pytest.approx(0.95)
    assert found["labels_equal_worst"] == pytest.approx(0.9)
    assert (found["final_equal_worst"], found["frames_compared"]) == (1.0, 2)


def test_added_objects_come_from_one_and_the_most_up_to_ten() -> None:
    runs = [_measured(objects=n, stages=[{"decode": t}]) for n, t in ((1, 1.0), (10, 1.9), (20, 5))]
    assert records.added_objects(runs) == [
        {"preset": "hqtrack", "objects": 10, "share": pytest.approx(0.1)}
    ]
    assert records.added_objects(runs[1:]) == []


def test_quick_fills_in_what_is_not_given_and_says_what_is_left_out() -> None:
    quick = parse(["--quick", "--frames", "7"])
    assert (quick.objects, quick.frames, quick.seconds) == ([3], 7, 12.0)
    assert any("1, 5, 10, 20 objects" in line for line in quick.left_out)
    assert any("--long 2000" in line for line in quick.left_out)
    full = parse(["--long", "2000", "--size", "64x32"])
    assert (full.objects, full.frames, full.size) == ([1, 5, 10, 20], 300, (32, 64))
    assert full.left_out == []


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (("--size", "64"), "'64' is no size"),
        (("--objects", "0"), "'0' is no whole number from 1 to 255"),
        (("--objects", "3", "300"), "'300' is no whole number from 1 to 255"),
        (("--skip", "all"), "invalid choice: 'all'"),
    ],
)
def test_senseless_arguments_are_refused(
    argument: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(argument)
    assert message in capsys.readouterr().err


def test_the_most_objects_that_a_clip_takes(tmp_path: Path) -> None:
    assert parse(["--objects", str(MOST_OBJECTS)]).objects == [MOST_OBJECTS]
    clip = draw_clip(tmp_path, 200, 300, MOST_OBJECTS, 1)
    assert clip.labels(0, MOST_OBJECTS).max() == MOST_OBJECTS


def test_a_cpu_gets_the_light_refiner_unless_one_is_named() -> None:
    args = parse([])
    assert refiner_of(args, "hqtrack", "cpu") == "vit_tiny"
    assert refiner_of(args, "hqtrack", "cuda") == "vit_h"
    assert refiner_of(args, "hqtrack-lite", "cpu") is None
    assert refiner_of(parse(["--refiner", "none"]), "hqtrack", "cuda") is None
    assert refiner_of(parse(["--refiner", "vit_b"]), "hqtrack-lite", "cpu") == "vit_b"


def test_round_trips_of_true_masks(clip: Clip, tmp_path: Path) -> None:
    from tracker.bench.trax_client import round_trips

    job = Job("hqtrack-lite", "ours", 2, clip, tmp_path, "cpu", frames=3)
    found = round_trips(Service(job, True, tmp_path / "frames.jsonl"), 1, tmp_path, True)
    assert len(found.seconds) == len(found.inside) == 3
    assert 0 < max(found.inside) < min(found.seconds)


def test_a_server_that_fails_is_reported(clip: Clip, tmp_path: Path) -> None:
    from tracker.bench.trax_client import round_trips

    lost = replace(clip, period=5)
    job = Job("hqtrack-lite", "ours", 2, lost, tmp_path, "cpu", frames=3)
    with pytest.raises(RuntimeError, match=r"TraX session failed: .*cannot read .*labels-0004"):
        round_trips(Service(job, True, tmp_path / "frames.jsonl"), 1, tmp_path)


def test_the_command_on_a_tiny_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, picture = tmp_path / "new" / "bench.json", tmp_path / "bench.png"
    status = main(
        ["--preset", "hqtrack-lite", "--size", "80x48", *NO_ENLARGING, "--frames", "3",
         "--objects", "1", "2", "--long", "10", "--skip", "trax", "protocol", "--one-process",
         "--device", "cpu", "--json", str(out), "--plot", str(picture)]
    )  # fmt: skip
    text = capsys.readouterr().out
    assert status == 0, text
    document = json.loads(out.read_text())
    assert document["failures"] == [] and document["format"] == records.FORMAT
    assert set(document["machine"]["ceilings"]) == {"float32", "bfloat16"}
    keys = [(run["path"], run["objects"]) for run in document["runs"]]
    assert keys == [("ours", 1), ("reference", 1), ("ours", 2), ("reference", 2)]
    for run in document["runs"]:
        assert run["frames"] == len(run["series"]["seconds"]) == 3
        found = [stage["stage"] for stage in run["stages"]]
        assert found == [stage for stage in STAGES if "HQ-SAM" not in stage]
        counted = {stage["stage"]: stage["operations"] for stage in run["stages"]}
        assert all(counted[n] > 1e6 for n in ("VMOS encode", "propagate", "decode", "memory"))
    assert all(c["labels_equal_worst"] >= 0.999 for c in document["comparisons"])
    assert document["flatness"][0]["frames"] == 10
    assert document["flatness"][0]["paced_ratio"] > 0
    assert [a["objects"] for a in document["added_object"]] == [2]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert text.strip() == tables.text(document).strip()
    assert "trax (--skip)" in text and "VMOS encode" in text


def test_the_reference_computes_in_float32_whatever_the_preset_says(clip: Clip) -> None:
    settings = {"compute__precision": "bfloat16"}
    job = Job("hqtrack-lite", "reference", 1, clip, WEIGHTS, "cpu", 3, settings)
    tracker = measure._reference_tracker(job)
    assert tracker.config.compute.precision == "float32"
    session = tracker._new_session()
    session.start(np.zeros((48, 80, 3), np.uint8), np.ones((48, 80), np.uint8), 1)
    assert {tensor.dtype for tensor in session.pack()[0].values()} == {torch.float32, torch.uint8}


def test_made_up_weights_are_those_of_the_settings(tmp_path: Path) -> None:
    config = preset("hqtrack-lite", vmos__decoder_channels=16)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    assert filled.complete(first, tmp_path, [config], []) == ("hqtrack-lite.safetensors",)
    model = load_vmos(config, first)
    assert model.config == config.vmos
    assert filled.complete(second, first, [config], []) == ()
    assert filled.missing(second, "hqtrack-lite", "vit_b") == ("sam_hq_vit_b.pth",)
    before = model.state_dict()
    for name, value in load_vmos(config, second).state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_type_without_units_in_hardware_is_measured_on_small_matrices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates, asked = {torch.float32: 1e11, torch.bfloat16: 1e9}, []

    def rate(_: torch.device, dtype: torch.dtype, side: int) -> float:
        asked.append((dtype, side))
        return rates[dtype]

    monkeypatch.setattr(machine, "_rate", rate)
    found = machine.ceilings(torch.device("cpu"), side=1600)
    assert found == {"float32": 1e11, "bfloat16": 1e9}
    assert asked == [(torch.float32, 400), (torch.float32, 1600), (torch.bfloat16, 400)]


def test_missing_weights_are_left_out_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--weights", str(tmp_path), "--size", "64x48", "--frames", "3", "--objects", "1",
                 "--preset", "hqtrack", "--one-process", "--device", "cpu",
                 "--skip", "protocol", "floors"]  # fmt: skip
    assert main([*arguments, "--no-random-weights"]) == 0
    text = capsys.readouterr().out
    assert "hqtrack: no save_step_42000.pth, sam_hq_vit_tiny.pth" in text
    assert main([*arguments, "--refiner", "vit_x"]) == 2
    assert "unknown refiner 'vit_x'" in capsys.readouterr().err


def test_a_plot_that_cannot_be_drawn_is_refused_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Bench, "run", lambda self: pytest.fail("it measures"))
    picture = tmp_path / "p.xyz"
    assert main(["--device", "cpu", "--frames", "1", "--plot", str(picture)]) == 2
    error = capsys.readouterr().err
    assert f"--plot {picture}: no pictures end in '.xyz'" in error and ".png" in error


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_a_folder_is_no_file_to_write(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse([option, str(tmp_path)])
    assert f"{option}: {tmp_path} is a folder" in capsys.readouterr().err


def test_a_device_that_is_not_here_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "foo"]) == 2
    assert "device 'foo' cannot be used here" in capsys.readouterr().err


def test_operations_of_fused_convolutions_are_counted():
    conv, image = torch.nn.Conv2d(8, 8, 3, padding=1, groups=2), torch.randn(1, 8, 9, 9)
    counter = FlopCounterMode(display=False, custom_mapping=measure._FUSED)
    with torch.inference_mode(), counter:
        conv_relu6(conv, image)
    assert counter.get_total_flops() == 2 * 9 * 9 * 8 * 4 * 9
