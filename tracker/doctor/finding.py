"""What a check has seen."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, FAIL = "ok", "note", "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of the report. `state`: ok; note, works with a limit; FAIL, does not work.

    `remedy` says what to do about a note or a failure.
    """

    what: str
    state: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.state:<4}  {self.what:<18} {' '.join(self.text.split())}"
        return f"{line}\n{'':<25}-> {self.remedy}" if self.remedy else line
