"""Which number format the arithmetic of a device should use."""

from contextlib import AbstractContextManager
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def best_precision(device: torch.device) -> Precision:
    """bfloat16 where the device multiplies it natively, float32 elsewhere.

    bfloat16 has float32's range, so it needs no loss scaling. On a CPU it pays only with the instructions for it:
    2.0 times the images per second with avx512_bf16, measured for the default network (studies/results/LOG.md, 1).
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Run the network's matrix arithmetic in this precision; weights stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
