"""The README's Python example runs as it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_python_example_prints_what_the_text_says():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert [line.split(" [")[0] for line in lines] == [
        f"{number} (120, 160) ({1 if number < 2 else 2}, 120, 160)" for number in range(6)
    ]
    assert lines[4].startswith("4 (120, 160) (2, 120, 160) [False ")
