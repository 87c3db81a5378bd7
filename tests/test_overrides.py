"""Settings as a user writes them on a command line or in the environment."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch

from tracker.config import ConfigError, preset
from tracker.overrides import add_set_option, read_overrides


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("null", None),
        ("None", None),
        ("true", True),
        ("False", False),
        ("vit_b", "vit_b"),
        ('"two words"', "two words"),
        ("'two words'", "two words"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_values_are_as_json_or_python_writes_them_else_text(text: str, value: object) -> None:
    found = read_overrides([f"section__setting={text}"])
    assert found == {"section__setting": value}
    assert type(found["section__setting"]) is type(value)


def test_the_refiner_is_off_as_the_remedy_says() -> None:
    assert preset("hqtrack", **read_overrides(["refiner__model=null"])).refiner.model is None


def test_numbers_may_be_those_of_numpy_and_pytorch() -> None:
    config = preset("hqtrack", memory__interval=np.int64(25), presence__threshold=torch.tensor(0.5))
    assert config == preset("hqtrack", memory__interval=25, presence__threshold=0.5)
    with pytest.raises(ConfigError, match=r"memory__interval is 2\.5; it must be a whole"):
        preset("hqtrack", memory__interval=np.float32(2.5))


def test_of_one_key_the_last_text_counts() -> None:
    assert read_overrides(["a__b=1", "a__b = 2"]) == {"a__b": 2}


def test_a_text_that_is_no_setting_is_refused_with_its_source() -> None:
    with pytest.raises(ConfigError, match="HQTRACK_SET nonsense: write it as KEY=VALUE"):
        read_overrides(["a__b=1", "nonsense"], "HQTRACK_SET")


def test_the_option_may_be_repeated() -> None:
    parser = argparse.ArgumentParser()
    add_set_option(parser)
    parsed = parser.parse_args(["--set", "a__b=1", "c__d=2", "--set", "e__f=3"])
    assert parsed.set == ["a__b=1", "c__d=2", "e__f=3"]
    assert parser.parse_args([]).set == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vmos__scales=1", "vmos__scales is 1; it is a tuple"),
        ("vmos__encoder=resnet", "vmos__encoder is 'resnet'; it is one of internimage-t"),
        ("vmos__window=wide", "vmos__window is 'wide'; it must be a whole number from 1"),
        ("vmos__detail_window=-1", "vmos__detail_window is -1; it must be a whole number from 0"),
        ("vmos__readout=7", "vmos__readout is 7; it is one of False, True"),
    ],
)
def test_a_value_that_no_network_can_have_is_refused_with_its_setting(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        preset("hqtrack", **read_overrides([text]))
