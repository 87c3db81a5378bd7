"""The state of a tracker in a file: tensors, a record, and for which settings and weights."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class StateError(ValueError):
    """A saved state that cannot be gone on from."""


def save_state(
    path: str | Path, tensors: dict[str, Tensor], record: dict[str, Any], identity: str
) -> None:
    """Write a state; the file appears whole or not at all, the one before it stays until then.

    Raises OSError, with the path and where it is known the errno.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = Path(path)
    part = path.with_name(path.name + ".part")
    metadata = {"record": json.dumps(record), "identity": identity}
    try:
        save_file({name: tensor.cpu() for name, tensor in tensors.items()}, part, metadata)
        part.replace(path)
    except SafetensorError as error:
        raise _os_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _os_error(error: Exception, path: Path) -> OSError:
    """What safetensors tells as text, "... (os error 28)", as the OSError it was."""
    told = re.search(r"\(os error (\d+)\)", str(error))
    if told is None:
        return OSError(f"cannot write the state {path}: {error}")
    number = int(told[1])
    return OSError(number, os.strerror(number), str(path))


def load_state(path: str | Path, identity: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the record of a state. Raises StateError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        saved, record = metadata["identity"], json.loads(metadata["record"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"cannot go on from {path} ({error}); start afresh") from error
    if saved != identity:
        raise StateError(
            f"{path} was saved with other settings or weights ({saved}) than these ({identity}); "
            "use the same, or start afresh"
        )
    return tensors, record
