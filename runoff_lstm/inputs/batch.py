"""Batch: windows for one pass of a model; Tiles: index of the windows to gather."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Windows for one pass of a model, all on one device, in scaled units.

    Attributes
    ----------
    forcing
        (batch, window, forcing); window is sequence_length + targets_per_window - 1 steps.
    static_attributes
        (batch, attribute), attribute may be 0.
    discharge
        (batch, target, lead): discharge at each lead for each of the last `targets_per_window` steps of the window. A simulation
        has the single lead 0, the step itself. NaN: masked in the loss, because it is missing, outside the period or in another
        window.
    basin, day
        (batch,) integers: position of the basin; position of the last target step on the time axis.
    future
        (batch, target + lead - 1, forcing): forcing beyond the issue date, from the step after the first target step on. None
        without such forcing.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> rl.Windows(data, ["rain"], sequence_length=30)[0].discharge.shape
    torch.Size([1, 1, 1])
    """

    forcing: Tensor
    static_attributes: Tensor
    discharge: Tensor
    basin: Tensor
    day: Tensor
    future: Tensor | None = None

    def __post_init__(self) -> None:
        size = self.forcing.shape[0]
        shapes = [tuple(one.shape) for one in (self.forcing, self.static_attributes, self.discharge, self.basin, self.day)]
        ranks = [len(shape) for shape in shapes]
        if ranks != [3, 2, 3, 1, 1] or any(shape[0] != size for shape in shapes):
            expected = "(batch, window, forcing), (batch, attribute), (batch, target, lead), (batch,) and (batch,)"
            raise ValueError(f"a batch is {expected}, not {shapes}")
        if shapes[2][1] > shapes[0][1]:
            raise ValueError(f"a batch has more targets than steps: {shapes}")

    @staticmethod
    def joined(batches: "Sequence[Batch]") -> "Batch":
        """Join batches of equal window length, in order.

        This is the `collate_fn` of a DataLoader over `Windows`.
        """
        future = [one.future for one in batches if one.future is not None]
        names = [field.name for field in fields(Batch) if field.name != "future"]
        parts = {name: torch.cat([getattr(one, name) for one in batches]) for name in names}
        return Batch(**parts, future=torch.cat(future) if future else None)


@dataclass(frozen=True)
class Tiles:
    """Index of the windows to gather.

    Integer arrays of equal length, 12 bytes per window.

    Attributes
    ----------
    basin, first
        Position of the basin and of the window's first target step on the time axis (int32).
    begin, stop
        Targets with begin <= target < stop count in this window (int16); the others count in a neighbouring window.
    """

    basin: np.ndarray
    first: np.ndarray
    begin: np.ndarray
    stop: np.ndarray

    def __len__(self) -> int:
        return len(self.basin)

    def __getitem__(self, which: np.ndarray | slice) -> "Tiles":
        return Tiles(self.basin[which], self.first[which], self.begin[which], self.stop[which])
