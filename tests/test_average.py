"""The mean of several files of weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.training_toys import NETWORK, TRACKER, toy_model
from tracker.__main__ import main
from tracker.checkpoints import CheckpointError, read_bundled, save_bundled
from tracker.config import VmosConfig
from tracker.training.average import average
from tracker.vmos.loading import load_vmos
from tracker.vmos.model import VmosModel
from tracker.weights import recorded_digest, sha256_of


def made(file: Path, seed: int, data: str, network: VmosConfig = NETWORK) -> VmosModel:
    model = toy_model(seed, network)
    save_bundled(model.state_dict(), network, file, {"preset": "toy", "data": data, "step": "9"})
    return model


def test_every_value_is_the_mean_and_a_file_counts_as_often_as_it_is_named(tmp_path: Path) -> None:
    one, two, out = tmp_path / "one", tmp_path / "two", tmp_path / "new" / "toy.safetensors"
    a, b = made(one, 1, "stills").state_dict(), made(two, 2, "videos").state_dict()
    assert main(["average", str(out), str(one), str(two), str(two)]) == 0
    state, network, notes = read_bundled(out)
    assert network == NETWORK and state.keys() == a.keys()
    for name, value in state.items():
        expected = (a[name].half().float() + 2 * b[name].half().float()) / 3
        assert torch.equal(value, expected.half()), name
    recipe = "mean of 3 files (one, two, two)"
    assert notes == {"preset": "toy", "recipe": recipe, "data": "stills / videos"}
    assert recorded_digest(out) == sha256_of(out)
    loaded = load_vmos(TRACKER, out.parent).state_dict()
    assert torch.equal(loaded["decoder.logits.weight"], state["decoder.logits.weight"].float())


def test_one_file_stays_as_it_is(tmp_path: Path) -> None:
    made(tmp_path / "one", 1, "stills")
    state, _, _ = average([tmp_path / "one"])
    for name, value in read_bundled(tmp_path / "one")[0].items():
        assert torch.equal(state[name].half(), value), name


def test_files_of_other_networks_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other, out = tmp_path / "one", tmp_path / "other", tmp_path / "out"
    made(one, 1, "stills")
    made(other, 1, "stills", dataclasses.replace(NETWORK, decoder_channels=32))
    with pytest.raises(CheckpointError, match=f"{other} is of another network than {one}"):
        average([one, other])
    model = toy_model(1)
    save_bundled(model.state_dict(), NETWORK, other, {"preset": "another"})
    with pytest.raises(CheckpointError, match="of another network"):
        average([one, other])
    fewer = {name: v for name, v in model.state_dict().items() if name != "decoder.logits.bias"}
    save_bundled(fewer, NETWORK, other, {"preset": "toy"})
    with pytest.raises(CheckpointError, match="of another network"):
        average([one, other])
    assert main(["average", str(out), str(one), str(tmp_path / "none")]) == 1
    assert f"average: no weights at {tmp_path / 'none'}" in capsys.readouterr().err
    assert not out.exists()


def test_a_file_of_ones_own_is_not_to_be_restored_from_the_repository(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("no weights")
    for name, words in (("gone", "check the path"), ("mine", "name another file")):
        assert main(["average", str(tmp_path / "out"), str(tmp_path / name)]) == 1
        said = capsys.readouterr().err
        assert words in said and "repository" not in said
