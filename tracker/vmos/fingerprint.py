"""Which weights a network has, as a digest: a state is of use with the weights it was made with."""

from __future__ import annotations

import hashlib
import weakref

import torch
from torch import nn

_KNOWN: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of the names and values of a network that does not change any more, in hex.

    Values count as bfloat16, so that a network that holds some of them so has the same digest.
    """
    if model not in _KNOWN:
        digest = hashlib.sha256()
        for name, value in model.state_dict().items():
            digest.update(name.encode())
            bits = value.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16)
            digest.update(bits.numpy().tobytes())
        _KNOWN[model] = digest.hexdigest()
    return _KNOWN[model]
