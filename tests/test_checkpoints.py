"""Weights files: strict in both directions, damaged and hostile ones refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.networks import SMALL, small_model
from tests.recordings import checkpoint_entries
from tracker.checkpoints import CheckpointError, fill, read_bundled, read_torch, save_bundled
from tracker.config import preset
from tracker.vmos.loading import OFFICIAL_VMOS, load_vmos
from tracker.vmos.model import VmosModel
from tracker.vmos.official import deterministic_model, from_official, official_shapes
from tracker.vmos.official_names import RULES, official_to_ours, ours_to_official

HQTRACK = preset("hqtrack")


def official_entries() -> dict[str, torch.Tensor]:
    """All 957 entries, zeros of the right shapes."""
    return {e["name"]: torch.zeros(e["shape"]) for e in checkpoint_entries()}


@pytest.fixture(scope="module")
def hqtrack() -> VmosModel:
    with torch.device("meta"):
        return VmosModel(HQTRACK.vmos)


def test_all_957_entries_fill_the_network(hqtrack):
    entries = official_entries()
    assert len(entries) == 957
    ours = from_official(entries, "file")
    assert ours.keys() == hqtrack.state_dict().keys()
    assert {k: v.shape for k, v in ours.items()} == {
        k: v.shape for k, v in hqtrack.state_dict().items()
    }


def test_the_dropped_entries_are_exactly_those_that_never_reach_the_output():
    dropped = {e["name"] for e in checkpoint_entries() if official_to_ours(e["name"]) is None}
    assert dropped == {e["name"] for e in checkpoint_entries() if not e["used"]}
    values = sum(torch.Size(e["shape"]).numel() for e in checkpoint_entries() if not e["used"])
    assert values == 2455819


def test_names_go_both_ways(hqtrack):
    used = [e["name"] for e in checkpoint_entries() if e["used"]]
    ours = [official_to_ours(name, RULES) for name in used]
    assert len(set(ours)) == len(used)
    assert [ours_to_official(name) for name in ours] == used
    with pytest.raises(KeyError, match="nonsense"):
        ours_to_official("nonsense")
    assert official_shapes(hqtrack).keys() == set(used)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrappers_and_prefixes_of_the_public_code(wrapper, prefix):
    entries = {prefix + name: value for name, value in official_entries().items()}
    loaded = {wrapper: entries, "optimizer": {}} if wrapper else entries
    assert len(from_official(loaded, "file")) == sum(e["used"] for e in checkpoint_entries())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda e: e.pop("conv_output2.bias"), "decoder.logits.bias"),
        (lambda e: e.update({"LSTT.layers.7.norm1.bias": torch.zeros(3)}), "layers.7.visual_norm"),
        (lambda e: e.update({"conv_output2.bias": torch.zeros(5)}), r"logits.bias is \[5\]"),
        (lambda e: e.update({"backbone.weight": torch.zeros(5)}), "backbone.weight"),
        (lambda e: e.update({"conv_output2.bias": "text"}), "conv_output2.bias is a str"),
        (lambda e: e.update({"module.id_norm.bias": torch.zeros(256)}), "id_norm.bias.*twice"),
    ],
)
def test_an_official_file_that_does_not_fit_is_refused_by_name(tmp_path, change, named):
    entries = official_entries()
    change(entries)
    torch.save({"state_dict": entries}, tmp_path / OFFICIAL_VMOS)
    with pytest.raises(CheckpointError, match=rf"{OFFICIAL_VMOS}.*{named}"):
        load_vmos(HQTRACK, tmp_path)


def test_the_official_file_loads(tmp_path):
    source = deterministic_model()
    entries = {
        ours_to_official(name): value[..., None, None] if "relative_bias.weight" in name else value
        for name, value in source.state_dict().items()
    }
    torch.save({"state_dict": entries}, tmp_path / OFFICIAL_VMOS)
    loaded = load_vmos(HQTRACK, tmp_path).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in source.state_dict().items())


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(CheckpointError, match=rf"{OFFICIAL_VMOS}.*make weights"):
        load_vmos(HQTRACK, tmp_path)


def test_the_remedy_is_that_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HQTRACK_WEIGHTS", str(tmp_path))
    for name, missing, damaged in (
        (
            "sam_hq_vit_tiny.pth",
            "fetch them with `make weights NAMES=sam_hq_vit_tiny.pth`",
            "remove it and fetch it again with `make weights NAMES=sam_hq_vit_tiny.pth`",
        ),
        ("mine.pth", "check the path", "name another file"),
    ):
        file = tmp_path / name
        with pytest.raises(CheckpointError) as caught:
            read_torch(file)
        assert str(caught.value) == f"no weights at {file}; {missing}"
        file.write_bytes(b"no weights")
        with pytest.raises(CheckpointError) as caught:
            read_torch(file)
        assert str(caught.value).endswith(f"; {damaged}")
        with pytest.raises(CheckpointError) as caught:
            fill(small_model(), {}, file)
        assert str(caught.value).endswith(f"; {damaged}")


def test_a_truncated_file_is_damaged(tmp_path):
    file = tmp_path / OFFICIAL_VMOS
    torch.save({"state_dict": {"a": torch.zeros(10000)}}, file)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=rf"{OFFICIAL_VMOS} is damaged"):
        read_torch(file)


class Hostile:
    """Unpickling it would write a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.mark}",)


def test_a_hostile_pickle_is_refused_and_does_nothing(tmp_path):
    file, mark = tmp_path / OFFICIAL_VMOS, tmp_path / "mark"
    torch.save({"state_dict": Hostile(mark)}, file)
    with pytest.raises(CheckpointError, match="damaged or no checkpoint"):
        read_torch(file)
    assert not mark.exists()


def test_bundled_weights_come_back_with_their_network_and_notes(tmp_path):
    file = tmp_path / "small.safetensors"
    state = small_model().state_dict()
    save_bundled(state, SMALL.vmos, file, {"step": "7"})
    loaded, network, notes = read_bundled(file)
    assert network == SMALL.vmos and notes == {"step": "7"}
    assert {k: v.dtype for k, v in loaded.items()} == dict.fromkeys(state, torch.float16)
    assert all(torch.equal(value.half(), loaded[name]) for name, value in state.items())


def test_bundled_weights_of_another_network_are_refused(tmp_path):
    save_bundled(small_model().state_dict(), SMALL.vmos, tmp_path / "hqtrack-lite.safetensors", {})
    with pytest.raises(CheckpointError, match=r"hqtrack-lite\.safetensors is of another network"):
        load_vmos(preset("hqtrack-lite"), tmp_path)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 64])
def test_a_damaged_bundled_file_is_named(tmp_path, content):
    file = tmp_path / "hqtrack-lite.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"hqtrack-lite\.safetensors is damaged"):
        load_vmos(preset("hqtrack-lite"), tmp_path)


def test_filling_leaves_nothing_half_done():
    model = VmosModel(SMALL.vmos)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = dict(small_model().state_dict())
    state.pop("decoder.logits.bias")
    with pytest.raises(CheckpointError, match=r"1 missing: decoder\.logits\.bias"):
        fill(model, state, "a file")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_bundled_light_weights_fit_their_preset():
    """At most 20 MB, float16, finite, and at most 10 M values."""
    file = Path(__file__).parents[1] / "weights" / "hqtrack-lite.safetensors"
    state, network, notes = read_bundled(file)
    assert network == preset("hqtrack-lite").vmos
    assert file.stat().st_size <= 20e6
    assert sum(value.numel() for value in state.values()) <= 10e6
    assert all(value.isfinite().all() for value in state.values())
    assert {"preset", "step"} <= notes.keys()
