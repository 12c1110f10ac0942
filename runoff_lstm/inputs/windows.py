"""Windows: an index of the steps to predict, and one gather per batch from the scaled data.

The data stay one contiguous block: basin after basin, one row per time step. Windows are views into it; only the gather copies
them. A *run* is a stretch of complete forcing. A *span* is the days of a run with `sequence_length` steps of history. A *tile*
is the `targets_per_window` days that one window predicts.
"""

import zlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.names import BASIN, TIME
from runoff_lstm.data.periods import AnyPeriod, as_period
from runoff_lstm.data.times import date_label, times_of
from runoff_lstm.errors import InputError, as_integer, as_names, check_choice
from runoff_lstm.inputs.batch import Batch, Tiles
from runoff_lstm.inputs.device import resolve_device
from runoff_lstm.inputs.spec import leads_of

Storage = Literal["auto", "device", "host"]


@dataclass(frozen=True)
class _Spans:
    """Unbroken stretches of steps: basin, first and last step of each."""

    basin: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, inside: np.ndarray) -> "_Spans":
        """Find every unbroken stretch of True in (basin, time)."""
        edges = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        basin, first = np.nonzero(edges == 1)
        return cls(basin, first, np.nonzero(edges == -1)[1] - 1)


class Windows:
    """All predictable windows of a period, and their batches.

    A window is `sequence_length + targets_per_window - 1` steps long; its last `targets_per_window` steps are predicted. Each
    prediction uses at least `sequence_length` steps up to its own step and no later one. `targets_per_window=1` is the classic
    many-to-one problem. With `lead_times` these last steps are issue dates, and the steps after each are predicted.

    Parameters
    ----------
    dataset
        Canonical Dataset, dims (basin, time), already scaled. Forcing may reach back before the period.
    forcing, static_attributes
        Names, in the order of the model inputs.
    target
        Variable to predict, on the basins and times of the dataset: an array, which cannot collide with a forcing name, or the
        name of a variable of the dataset. None: simulation only.
    sequence_length, targets_per_window
        Minimum number of steps that each prediction uses; number of steps that each window predicts.
    lead_times
        0: predict the discharge of a step from the forcing up to that step. n: predict discharge at lead times 1 to n from an issue
        date. The target steps of a window are then issue dates, and a period holds their forecasts to the last lead.
    future_forcing
        Names from `forcing` that forecasts use beyond the issue date too, up to the last lead.
    also_predict
        Names from `forcing` to predict besides discharge, at a single lead time, along the last dimension of the targets.
    period
        Limits the targets; None: the whole record.
    device, storage
        Device of the batches; place of the block: on the device, or in (pinned) host memory. "auto" takes the host if the block
        would fill more than half of the free memory of a GPU. The same seed gives the same batches either way.

    Raises
    ------
    InputError
        The sequence is longer than the record, a basin lacks an attribute, or no step of the period can be predicted.

    Attributes
    ----------
    leads
        Leads predicted from each target step: `range(1)`, the step itself, or `range(1, lead_times + 1)` from an issue date.
    in_period
        (time,) bool: the target steps inside the period; for forecasts the issue dates.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> rl.Windows(data, ["rain"], sequence_length=30)[0].forcing.shape
    torch.Size([1, 30, 1])
    """

    def __init__(  # noqa: PLR0913 - plain arguments
        self,
        dataset: xr.Dataset,
        forcing: Sequence[str],
        *,
        target: xr.DataArray | str | None = "discharge",
        static_attributes: Sequence[str] = (),
        sequence_length: int = 365,
        targets_per_window: int = 1,
        lead_times: int = 0,
        future_forcing: Sequence[str] = (),
        also_predict: Sequence[str] = (),
        period: AnyPeriod | None = None,
        device: str | torch.device = "cpu",
        storage: Storage = "auto",
    ) -> None:
        as_dataset(dataset)
        sequence_length = as_integer("sequence_length", sequence_length)
        targets_per_window, lead_times = as_integer("targets_per_window", targets_per_window), as_integer("lead_times", lead_times)
        if sequence_length < 1 or not 1 <= targets_per_window < 2**15:
            raise InputError("sequence_length must be at least 1, and targets_per_window from 1 to 32767")
        check_choice("storage", storage, get_args(Storage))
        self.device = resolve_device(device)
        if lead_times < 0 or (also_predict and lead_times != 1):
            raise InputError("lead_times must be 0 or more, and 1 where forcing is predicted too")
        if future_forcing and not lead_times:
            raise InputError(f"future_forcing = {list(future_forcing)} needs lead_times, such as lead_times = 7")
        self.sequence_length, self.targets_per_window, self.lead_times = sequence_length, targets_per_window, lead_times
        self.leads = leads_of(lead_times)
        self.gauge_ids = [str(gauge_id) for gauge_id in dataset[BASIN].values]
        self.times = times_of(dataset)
        self.forcing = list(as_names("forcing", forcing))
        static_attributes = as_names("static_attributes", static_attributes)
        if sequence_length > len(self.times):
            raise InputError(
                f"sequence_length is {sequence_length} steps, the record has {len(self.times)}; shorten it or lengthen the record"
            )
        inside = np.ones(len(self.times), dtype=bool)
        if period is not None:
            period = as_period("period", period)
            inside[:] = False
            inside[period.positions(self.times)] = True
        self.in_period = inside
        if target is not None:  # a step counts only if all its leads lie in the period
            self.in_period = inside & _ahead(inside[None], self.leads)[:, 0].all(axis=0)

        forcings = [dataset[name].values for name in self.forcing]
        history = _history(np.logical_and.reduce([~np.isnan(one) for one in forcings]))
        self._runs = _Spans.of(history > 0)
        self._history = history >= sequence_length
        self._has_history = self._history.copy()
        if future_forcing:
            known = np.logical_and.reduce([~np.isnan(dataset[name].values) for name in future_forcing])
            self._has_history &= _ahead(known, self.leads).all(axis=0)
        self._valid = self._has_history & self.in_period
        predicted = [] if target is None else [_target_values(dataset, target)]
        predicted += [dataset[name].values for name in also_predict]
        if target is not None:
            self._valid &= _ahead(~np.isnan(predicted[0]), self.leads).any(axis=0)
        if not self._valid.any():
            raise InputError(self._why_nothing(target.name if isinstance(target, xr.DataArray) else target, period))

        rows_after = targets_per_window + lead_times
        self._block = self._place(_block(forcings, rows_after=rows_after), storage)
        self._future = [self.forcing.index(name) for name in future_forcing]
        targets = [np.where(inside, one, np.nan) for one in predicted]
        self._targets = self._place(_target_block(targets, history.shape, rows_after=rows_after), storage)
        self._attributes = _attributes(dataset, static_attributes).to(self.device)

    @cached_property
    def _items(self) -> Tiles:
        return self.calendar_tiles()

    def __len__(self) -> int:
        """Count the windows of `calendar_tiles`, which hold every valid target step once."""
        return len(self._items)

    def __getitem__(self, place: int) -> Batch:
        """Gather one window as a batch of one, in the order of basin and time.

        `torch.utils.data.DataLoader(windows, shuffle=True, batch_size=32, collate_fn=Batch.joined)` gives batches for a custom
        loop. `training_tiles` and `batches` are faster, and shift the borders of the windows from epoch to epoch.
        """
        place = as_integer("place", place)
        if not -len(self) <= place < len(self):
            raise IndexError(f"window {place} of {len(self)}")
        place %= len(self)
        return self.gather(self._items[place : place + 1])

    def __iter__(self) -> Iterator[Batch]:
        """Every window, one after the other."""
        return (self[place] for place in range(len(self)))

    def __repr__(self) -> str:
        several = f" of {self.targets_per_window} targets" if self.targets_per_window > 1 else ""
        return (
            f"<Windows: {len(self)} of {self.n_targets} valid steps, {len(self.gauge_ids)} basin(s), "
            f"{self.sequence_length} steps of {', '.join(self.forcing)} each{several}, "
            f"{date_label(self.times[0])} to {date_label(self.times[-1])}>"
        )

    @property
    def window_length(self) -> int:
        """Steps of a window: `sequence_length + targets_per_window - 1`."""
        return self.sequence_length + self.targets_per_window - 1

    @property
    def valid(self) -> np.ndarray:
        """Predictable and observed steps, (basin, time) bool.

        For forecasts these are the issue dates.
        """
        return self._valid

    @property
    def n_targets(self) -> int:
        """Number of valid target steps (forecasts: issue dates) over all basins.

        One epoch uses each once.
        """
        return int(self._valid.sum())

    @property
    def index_bytes(self) -> int:
        """Bytes of the index of predictable steps, without the `Tiles` of an epoch."""
        runs = vars(self._runs).values()
        return sum(one.nbytes for one in (self._valid, self._has_history, self._history, self.in_period, *runs))

    @property
    def data_bytes(self) -> int:
        """Bytes of series and attributes, laid out for batches."""
        return sum(one.nbytes for one in (self._block, self._targets, self._attributes))

    @property
    def coverage(self) -> pd.DataFrame:
        """Numbers of used and unused steps per basin, with the reasons.

        Index gauge_id; columns `steps` (of the period), `used`, `without_history` (an incomplete forcing among the
        `sequence_length` steps up to it) and `without_discharge` (history complete, discharge not observed).
        """
        steps = np.full(len(self.gauge_ids), int(self.in_period.sum()))
        used = self._valid.sum(axis=1)
        with_history = (self._has_history & self.in_period).sum(axis=1)
        columns = {"steps": steps, "used": used, "without_history": steps - with_history, "without_discharge": with_history - used}
        return pd.DataFrame(columns, index=pd.Index(self.gauge_ids, name="gauge_id"))

    def training_tiles(self, *, seed: int, epoch: int, balanced: bool = False) -> Tiles:
        """Select the windows of one epoch in random order.

        Each valid target step counts in exactly one.

        With several targets per window, each span is cut into tiles at a random phase that changes with the epoch. Tiles at the
        ends of a span shift inward, and overlapping steps count once. The result depends only on the arguments.

        Parameters
        ----------
        seed, epoch
            The same seed and epoch give the same windows.
        balanced
            Repeat windows of basins with short records until all basins with windows have as many as the basin with most.
        """
        random = np.random.default_rng([seed, epoch])
        spans = _Spans.of(self._has_history & self.in_period)
        basin, first, last = spans.basin, spans.first, spans.last
        phase = random.integers(0, self.targets_per_window, size=len(basin))
        span, nominal = self._cut(first - phase, last)
        latest = np.maximum(first, last - self.targets_per_window + 1)[span]
        tiles = self._tiles(basin[span], nominal, np.clip(nominal, first[span], latest), first[span], last[span])
        if balanced:
            tiles = tiles[_repeated(tiles.basin, random)]
        return tiles[random.permutation(len(tiles))]

    def calendar_tiles(self) -> Tiles:
        """Select the windows of a simulation on a fixed calendar, in order of basin and time.

        Tiles begin at multiples of `targets_per_window` steps since 1970 in any period. A tile at the end of the record extends
        past it and is not moved back. A simulated value thus depends neither on the chosen period nor on any later day.
        """
        spans = _Spans.of(self._has_history)
        basin, first, last = spans.basin, spans.first, spans.last
        step = self.times[1] - self.times[0]
        origin = int((self.times[0] - pd.Timestamp("1970-01-01")) // step)
        span, nominal = self._cut(first - (origin + first) % self.targets_per_window, last)
        within = np.flatnonzero(self.in_period)
        begins, ends = np.maximum(first[span], within[0]), np.minimum(last[span], within[-1])
        return self._tiles(basin[span], nominal, np.maximum(nominal, first[span]), begins, ends)

    def runs(self) -> Iterator[tuple[np.ndarray, int, Batch]]:
        """Yield the runs of complete forcing up to the end of the period: basins, first step, batch.

        Runs of the same dates share a batch. The batch's discharge is NaN throughout.
        """
        end = int(np.flatnonzero(self.in_period)[-1])
        dates = np.stack([self._runs.first, np.minimum(self._runs.last, end)], axis=1)
        for first, last in np.unique(dates[dates[:, 0] <= end], axis=0).tolist():
            basin = torch.from_numpy(self._runs.basin[(dates == (first, last)).all(axis=1)])
            forcing = self._rows(self._block, basin * len(self.times) + first, last - first + 1)
            basin = basin.to(self.device)
            nothing = torch.full((*forcing.shape[:2], len(self.leads)), torch.nan, device=self.device)
            yield basin.cpu().numpy(), first, Batch(forcing, self._attributes[basin], nothing, basin, torch.full_like(basin, last))

    @property
    def fingerprint(self) -> int:
        """Checksum of the block and the targets.

        The same data and settings give the same number.
        """
        return zlib.crc32(self._targets.cpu().numpy().data, zlib.crc32(self._block.cpu().numpy().data))

    def find_non_finite(self, batch: Batch) -> str | None:
        """Find basin, day and variable of the first infinite value, or missing input, of a batch."""
        bad = (~torch.isfinite(batch.forcing)).nonzero()
        if len(bad):
            window, step, feature = bad[0].tolist()
            day = int(batch.day[window]) - (self.window_length - 1) + step
            return self._describe(int(batch.basin[window]), day, self.forcing[feature], float(batch.forcing[window, step, feature]))
        infinite = torch.isinf(batch.discharge).nonzero()
        if len(infinite):
            window, step, lead = infinite[0].tolist()
            day = int(batch.day[window]) - (self.targets_per_window - 1) + step + self.leads[0] + lead
            return self._describe(int(batch.basin[window]), day, "discharge", float(batch.discharge[tuple(infinite[0])]))
        return None

    def _describe(self, basin: int, day: int, name: str, value: float) -> str:
        return f"basin {self.gauge_ids[basin]}, {date_label(self.times[day])}: {name} is {value} (scaled)"

    def gather(self, tiles: Tiles) -> Batch:
        """Gather the batch of the given windows from the block."""
        steps = len(self.times)
        basin = torch.from_numpy(tiles.basin).long()
        row = basin * steps + torch.from_numpy(tiles.first)
        forcing = self._rows(self._block, row - (self.sequence_length - 1), self.window_length)
        discharge, future = self._gather_targets(row), None
        if self.targets_per_window > 1:
            begin, stop = torch.from_numpy(tiles.begin).to(self.device), torch.from_numpy(tiles.stop).to(self.device)
            target = torch.arange(self.targets_per_window, device=self.device)
            counts = (target >= begin[:, None]) & (target < stop[:, None])
            discharge = discharge.masked_fill(~counts[..., None], torch.nan)
        if self._future:
            future = self._rows(self._block, row + 1, self.targets_per_window + self.lead_times - 1)[..., self._future]
        day = torch.from_numpy(tiles.first).long() + self.targets_per_window - 1
        basin, day = basin.to(self.device), day.to(self.device)
        return Batch(forcing, self._attributes[basin], discharge, basin, day, future)

    def _gather_targets(self, row: Tensor) -> Tensor:
        """Gather targets (batch, target, lead).

        They are NaN where missing or after the end of the period.
        """
        ahead = self._rows(self._targets, row + self.leads[0], self.targets_per_window + len(self.leads) - 1)
        return ahead.unfold(1, len(self.leads), 1).flatten(2)

    def batches(self, tiles: Tiles, batch_size: int, *, skip: int = 0) -> Iterator[Batch]:
        """Yield the tiles as batches in order, skipping the first `skip`.

        The last batch may be smaller.
        """
        for start in range(skip * batch_size, len(tiles), batch_size):
            yield self.gather(tiles[start : start + batch_size])

    def _cut(self, start: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut spans into tiles from `start` to `last`.

        Return the span and nominal first step of each tile.
        """
        k = self.targets_per_window
        count = (last - start) // k + 1
        span = np.repeat(np.arange(len(start)), count)
        number = np.arange(len(span)) - np.repeat(np.cumsum(count) - count, count)
        return span, start[span] + number * k

    def _tiles(self, basin: np.ndarray, nominal: np.ndarray, first: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> Tiles:
        """Place tiles at `first`, count nominal steps within [begins, ends], drop tiles without a valid step."""
        from_step = np.maximum(nominal, begins)
        to_step = np.minimum(nominal + self.targets_per_window - 1, ends)
        some = to_step >= from_step
        basin, first, from_step, to_step = basin[some], first[some], from_step[some], to_step[some]
        if self.targets_per_window == 1:
            some = self._valid[basin, first]
        else:
            valid_before = np.pad(np.cumsum(self._valid, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
            some = valid_before[basin, to_step + 1] > valid_before[basin, from_step]
        return Tiles(
            basin[some].astype(np.int32),
            first[some].astype(np.int32),
            (from_step - first)[some].astype(np.int16),
            (to_step + 1 - first)[some].astype(np.int16),
        )

    def _rows(self, block: Tensor, row: Tensor, length: int) -> Tensor:
        """Gather rows [row, row + length) of the block per entry.

        The result is (batch, length, feature) on the device.
        """
        features = block.shape[1]
        view = block.as_strided((block.shape[0] - length + 1, length * features), (features, 1))
        gathered = torch.index_select(view, 0, row.to(block.device))
        if gathered.device != self.device:
            gathered = gathered.pin_memory().to(self.device, non_blocking=True)
        return gathered.view(-1, length, features)

    def _place(self, block: Tensor, storage: Storage) -> Tensor:
        if storage == "auto" and self.device.type == "cuda":
            storage = "host" if block.nbytes > 0.5 * torch.cuda.mem_get_info(self.device)[0] else "device"
        if storage == "host" and self.device.type == "cuda":
            return block.pin_memory()
        return block if storage == "host" else block.to(self.device)

    def _why_nothing(self, target: Hashable, period: AnyPeriod | None) -> str:
        where = f"basin {', '.join(self.gauge_ids[:5])}{' ...' if len(self.gauge_ids) > 5 else ''}, {period or 'whole record'}"
        if not self.in_period.any():
            return f"{where}: the period is not longer than the {self.lead_times} lead times; choose a longer one"
        if (self._has_history & self.in_period).any():
            return f"{where}: no {target or 'target'} is observed on a day with enough history; choose another period"
        if (self._history & self.in_period).any():
            return (
                f"{where}: the forcing given as a forecast is not complete to lead time {self.lead_times}; "
                "lengthen it, or issue the forecast earlier"
            )
        return (
            f"{where}: no day has {self.sequence_length} steps of complete forcing before it; "
            "shorten sequence_length, begin later or fill the gaps"
        )


def _target_values(dataset: xr.Dataset, target: xr.DataArray | str) -> np.ndarray:
    """Return the target (basin, time).

    Raise if its basins or times differ from the dataset.
    """
    if isinstance(target, str):
        return dataset[target].values
    for dim in (BASIN, TIME):
        if dim not in target.dims or not np.array_equal(target[dim].values, dataset[dim].values):
            raise InputError(f"the target and the forcing differ along '{dim}'; bring them onto the same one with xarray.align")
    return target.transpose(BASIN, TIME).values


def _repeated(basin: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Repeat positions in `basin` (sorted) until each basin is as frequent as the most frequent one."""
    _, first, count = np.unique(basin, return_index=True, return_counts=True)
    most = int(count.max())
    repeated = [start + np.resize(random.permutation(size), most) for start, size in zip(first, count, strict=True)]
    return np.concatenate(repeated)


def _history(complete: np.ndarray) -> np.ndarray:
    """Count the consecutive complete steps up to each step, (basin, time).

    The count is 0 at an incomplete step.
    """
    step = np.arange(1, complete.shape[1] + 1, dtype=np.int32)
    last_gap = np.maximum.accumulate(np.where(complete, 0, step), axis=1)
    history: np.ndarray = step - last_gap
    return history


def _block(forcings: Sequence[np.ndarray], *, rows_after: int) -> Tensor:
    """Lay out forcing as (basin * time + rows_after, forcing) float32.

    Missing values and the rows after the end are 0; no valid target uses them.
    """
    basins, steps = forcings[0].shape
    block = np.zeros((basins * steps + rows_after, len(forcings)), dtype=np.float32)
    for place, values in enumerate(forcings):
        block[: basins * steps, place] = np.where(np.isnan(values), 0.0, values).ravel()
    return torch.from_numpy(block)


def _target_block(targets: Sequence[np.ndarray], shape: tuple[int, ...], *, rows_after: int) -> Tensor:
    """Lay out targets as (basin * time + rows_after, target) float32.

    They are NaN where missing and after the end.
    """
    basins, steps = shape
    block = np.full((basins * steps + rows_after, max(len(targets), 1)), np.nan, dtype=np.float32)
    for place, values in enumerate(targets):
        block[: basins * steps, place] = values.ravel()
    return torch.from_numpy(block)


def _ahead(present: np.ndarray, leads: range) -> np.ndarray:
    """Shift a mask by each lead: (lead, basin, time); False beyond the end."""
    padded = np.pad(present, ((0, 0), (0, leads[-1])))
    return np.stack([padded[:, lead : lead + present.shape[1]] for lead in leads])


def _attributes(dataset: xr.Dataset, names: Sequence[str]) -> Tensor:
    """Lay out attributes as (basin, attribute) float32.

    Raise on a missing one, with basin and name.
    """
    values = np.zeros((dataset.sizes[BASIN], len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        values[:, place] = dataset[name].values
    missing = np.argwhere(~np.isfinite(values))
    if len(missing):
        basin, place = missing[0]
        raise InputError(
            f"basin {dataset[BASIN].values[basin]}: attribute {names[place]} is missing; "
            "fill it in, or leave the basin or the attribute out"
        )
    return torch.from_numpy(values)
