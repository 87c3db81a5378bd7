"""The table of attention kernels, on small grids on a CPU."""

from __future__ import annotations

import pytest

from tracker.bench import kernels


def test_every_way_is_a_line_and_agrees_or_says_why_not(capsys):
    """In float32 PyTorch's ways are exact to rounding; Triton has no CPU."""
    arguments = ["--device", "cpu", "--dtype", "float32", "--repeats", "1", "--shrink", "12"]
    assert kernels.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    names = [" ".join(line[:16].split()) for line in lines]
    expected = ["long-term 1/16"] * 3 + ["self 1/16"] * 3 + ["window 1/16"] * 2
    expected += ["long-term 1/8"] * 3 + ["self 1/8"] * 3 + ["window 1/8"] * 2
    assert names == [*expected, *["HQ-SAM a window"] * 2, *["HQ-SAM all"] * 2]
    triton = [line for line in lines if "Triton" in line]
    assert len(triton) == 6 and all("cannot run" in line for line in triton)
    errors = [float(line.split()[-1]) for line in lines if "Triton" not in line]
    assert len(errors) == 14 and max(errors) < 1e-4


@pytest.mark.parametrize("option", ["--shrink", "--repeats"])
def test_numbers_that_make_no_sense_are_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        kernels.main(["--device", "cpu", option, "0"])
    assert f"{option}: '0' is no whole number from 1" in capsys.readouterr().err


def test_a_device_that_is_not_here_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert kernels.main(["--device", "gpu"]) == 2
    assert "bench-kernels: device 'gpu' cannot be used here" in capsys.readouterr().err
