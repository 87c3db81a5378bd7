"""The table of attention kernels, on small grids on a CPU."""

from __future__ import annotations

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
