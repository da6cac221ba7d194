"""What the child process computes on: device, number format, threads. Torch; knows no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from tidemill.errors import InvalidInput

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bf16", "fp32"]


@dataclass(frozen=True)
class Hardware:
    """The choice that was made."""

    device: Literal["cpu", "cuda"]
    bf16: bool

    @property
    def precision(self) -> Literal["bf16", "fp32"]:
        """As it is reported."""
        return "bf16" if self.bf16 else "fp32"

    @property
    def name(self) -> str:
        """For people: ``cpu`` or the name of the GPU."""
        return torch.cuda.get_device_name() if self.device == "cuda" else "cpu"


def choose(device: Device, precision: Precision, threads: int | None) -> Hardware:
    """Take CUDA when it is there and allowed, bf16 where the processor computes in it rather than emulating it.

    ``threads`` None leaves torch's number of threads as it is.

    Raises:
        InvalidInput: the settings want CUDA and there is none.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    available = device != "cpu" and torch.cuda.is_available()
    if device == "cuda" and not available:
        raise InvalidInput("TIDEMILL_TRAINER_DEVICE is cuda, but torch finds no GPU on the trainer's machine")
    chosen: Literal["cpu", "cuda"] = "cuda" if available else "cpu"
    native = torch.cuda.is_bf16_supported(including_emulation=False) if available else _cpu_has_bf16()
    return Hardware(chosen, bf16=native if precision == "auto" else precision == "bf16")


def _cpu_has_bf16() -> bool:
    # Torch names these two with an underscore, but has no public way to ask; without them bf16 is emulated and slow.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
