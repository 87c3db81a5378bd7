"""A CUDA device that is none: the CPU computes, tensors say that they are on it, waits are counted.

For machines without one. A tensor "on the device" wraps one of the CPU; operators run on what is
wrapped, and refuse, as CUDA does, to mix it with tensors of the CPU. Copies to the CPU that are not
waited for arrive when the stream is waited for, not before. No kernel runs, nothing is faster, and
there are no gradients: everything goes under `torch.inference_mode()`.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
CUDA = torch.device("cuda:0")
GARBAGE = 77
"""What a copy holds that has not arrived."""

ACROSS = {aten._to_copy.default, aten.copy_.default, aten.index.Tensor, aten.index_put_.default}
"""Operators that take tensors of both devices."""

WAITING = {
    aten._local_scalar_dense.default,
    aten._unique2.default,
    aten.bincount.default,
    aten.equal.default,
    aten.isin.Tensor_Tensor,
    aten.masked_select.default,
    aten.nonzero.default,
    aten.repeat_interleave.Tensor,
}
"""Operators whose result, or its size, the CPU must know."""


class OnDevice(Tensor):
    """A tensor that says it is on the device; `held` is on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        one = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device=CUDA
        )
        one.held = held
        return one

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        """What Python's side of PyTorch would ask a driver for."""
        kwargs = kwargs or {}
        device = current()
        if func is Tensor.__getitem__:
            device.look_up(args[1])
            return OnDevice(_held(args[0])[tree_map(_held, args[1])])
        if func is Tensor.__setitem__:
            device.look_up(args[1])
            _held(args[0])[tree_map(_held, args[1])] = _held(args[2])
            return None
        if func in (Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__int__, Tensor.__float__):
            device.wait(func.__name__)
            return func(args[0].held)
        if func is Tensor.contiguous:
            held = args[0].held.contiguous(*args[1:], **kwargs)
            return args[0] if held is args[0].held else OnDevice(held)
        if func is Tensor.__invert__:
            return torch.bitwise_not(args[0])
        if func is Tensor.to:
            args, kwargs = tree_map(_numbered, args), tree_map(_numbered, kwargs)
        return torch._C._disabled_torch_function_impl(func, types, args, kwargs)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} of a pretended CUDA tensor after the pretence")


class Device(TorchDispatchMode):
    """The device's queue: what was waited for, and copies on their way to the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self._coming: list[tuple[Tensor, Tensor]] = []

    def wait(self, what: str) -> None:
        """The CPU waits for the device here."""
        for copy, source in self._coming:
            copy.copy_(source)
        self._coming.clear()
        ours = [f for f in traceback.extract_stack() if f"{Path('/tracker/')}" in f.filename]
        self.waits.append(
            f"{what}: {Path(ours[-1].filename).name}: {ours[-1].line}" if ours else what
        )

    def look_up(self, index: Any) -> None:
        """An index: masks are counted by the CPU, its own lists and tensors sent to the device."""
        if isinstance(index, list | tuple) and any(
            isinstance(part, list) for part in [index, *index]
        ):
            self.wait("a list as index")
        for part in tree_leaves(index):
            if isinstance(part, Tensor) and part.dtype in (torch.bool, torch.uint8):
                self.wait("a mask as index")
            elif isinstance(part, Tensor) and part.ndim and not isinstance(part, OnDevice):
                self.wait("an index of the CPU")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        args, kwargs = tree_map(_numbered, args), tree_map(_numbered, dict(kwargs or {}))
        if func is aten._has_compatible_shallow_copy_type.default:
            return False
        if func.overloadpacket is aten.to:
            with self:
                return func.decompose(*args, **kwargs)
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        here = [one for one in tensors if isinstance(one, OnDevice)]
        place = kwargs.get("device")
        to_device = bool(here) if place is None else place.type == "cuda"
        if func in ACROSS and (here or to_device):
            self._cross(func, args, kwargs, to_device)
        elif here:
            _check_same(func, tensors)
            if func in WAITING:
                self.wait(func.overloadpacket.__name__)
        if place is not None:
            kwargs["device"] = torch.device("cpu")
        result = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if func is aten._to_copy.default and here and not to_device and kwargs.get("non_blocking"):
            self._coming.append((result, result.clone()))
            result.fill_(GARBAGE)
        return tree_map(_wrapped(to_device, tensors), result)

    def _cross(self, func: Any, args: Any, kwargs: Any, to_device: bool) -> None:
        source = args[1] if func is aten.copy_.default else args[0]
        goes = isinstance(source, OnDevice) != to_device
        quick = kwargs.get("non_blocking") and (not to_device or hasattr(source, "pinned"))
        if func in (aten.index.Tensor, aten.index_put_.default):
            self.look_up([part for part in args[1] if part is not None])
        elif goes and not quick:
            self.wait("a copy to the device" if to_device else "a copy to the CPU")


class Stream:
    """Every stream of the device."""

    def __init__(self, *_: Any) -> None: ...

    def wait_stream(self, other: Stream) -> None:
        """Work of streams is done as it is handed out."""

    def synchronize(self) -> None:
        """The CPU waits for all that was handed out."""
        current().wait("synchronize")


_devices: list[Device] = []


def current() -> Device:
    """The device that is pretended."""
    return _devices[-1]


@contextlib.contextmanager
def pretended_cuda() -> Iterator[Device]:
    """PyTorch, as if there were a CUDA device, under inference mode."""
    device = Device()
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        quiet = contextlib.nullcontext
        for name, stand_in in {
            "_lazy_init": lambda: None,
            "is_available": lambda: True,
            "is_bf16_supported": lambda *_, **__: True,
            "device_count": lambda: 1,
            "current_stream": Stream,
            "Stream": Stream,
            "stream": lambda *_: quiet(),
            "device_of": lambda *_: quiet(),
            "empty_cache": lambda: None,
        }.items():
            patch.setattr(torch.cuda, name, stand_in)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch, "tensor", _placing(torch.tensor))
        patch.setattr(torch, "as_tensor", _placing(torch.as_tensor))
        patch.setattr(Tensor, "pin_memory", _pinned)
        patch.setattr(Tensor, "record_stream", lambda *_: None)
        swaps = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        _devices.append(device)
        try:
            with device:
                yield device
        finally:
            _devices.pop()
            torch.__future__.set_overwrite_module_params_on_conversion(swaps)


def _check_same(func: Any, tensors: list[Tensor]) -> None:
    """RuntimeError for a tensor of the CPU that is no single number."""
    for one in tensors:
        if one.ndim and not isinstance(one, OnDevice):
            raise RuntimeError(
                f"{func}: expected all tensors to be on the same device, found cuda:0 and cpu "
                f"{tuple(one.shape)}"
            )


def _wrapped(to_device: bool, given: list[Tensor]) -> Callable[[Any], Any]:
    """What an operator returns: tensors it was given as they are, new ones on their device."""
    known = {id(_held(one)): one for one in given}

    def wrapped(result: Any) -> Any:
        if not isinstance(result, Tensor):
            return result
        fresh = OnDevice(result) if to_device and id(result) not in known else result
        return known.get(id(result), fresh)

    return wrapped


def _placing(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def made(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        one = make(data, *args, **kwargs)
        return one if device is None else one.to(device)

    return made


def _pinned(tensor: Tensor, *_: Any) -> Tensor:
    copy = tensor.clone()
    copy.pinned = True
    return copy


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnDevice) else value


def _numbered(value: Any) -> Any:
    """ "cuda" as cuda:0, which no driver need be asked for."""
    if isinstance(value, str) and value == "cuda":
        return CUDA
    return CUDA if isinstance(value, torch.device) and value.type == "cuda" else value
