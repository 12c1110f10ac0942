"""The numbers that matrix products are taken in: float32, or bfloat16 where the device has them."""

import logging
from functools import cache
from typing import Literal

import torch
from torch import nn

LOG = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16"]


def products_in(precision: Precision, device: torch.device) -> torch.autocast:
    """A context in which a model takes its matrix products in that precision; weights and sums stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=resolve_precision(precision, device) == "bfloat16")


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """The precision that is used where this one is asked for: float32 where the device has no bfloat16, which is logged once."""
    return "bfloat16" if precision == "bfloat16" and _has_bfloat16(device.type) else "float32"


@cache
def _has_bfloat16(device: str) -> bool:
    """Whether an LSTM runs in bfloat16 there: on a CPU with AVX2 alone, say, torch has none and raises."""
    try:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            nn.LSTM(1, 1, device=device)(torch.zeros(1, 1, 1, device=device))
    except RuntimeError:
        LOG.warning("this %s has no bfloat16: float32 is used instead, which is more exact and takes longer", device)
        return False
    return True
