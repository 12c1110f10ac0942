"""Every kind of dropout for recurrent layers: what is asked for, which masks that makes, and how they are drawn.

A mask holds 0 where something is dropped and 1 / (1 - p) where it is kept, so that the expected value stays (RNNDrop alone: see
`LayerMasks`). A mask with one step serves every step of the sequence.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from runoff_lstm.errors import InputError, as_flag, as_number, check_choice

DropoutKind = Literal["naive", "non_recurrent", "variational", "rnndrop", "recurrent", "weight_drop"]
DropoutSpan = Literal["step", "sequence"]
DroppedWeights = Literal["recurrent", "all"]
LayerType = Literal["lstm", "gru", "rnn"]

GATES: dict[LayerType, int] = {"lstm": 4, "gru": 3, "rnn": 1}
"""Blocks of rows in the weights of a layer."""


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """What is dropped in training: a kind, a probability for each place, and the kind's own variants.

    ================ ======================================================= ===================== ======================
    kind             what `recurrent` drops                                  its mask is drawn     other places are drawn
    ================ ======================================================= ===================== ======================
    (none)           nothing; `output` is the only place                                           every step
    "naive"          the state handed on, h and c, at every step             every step            every step
    "non_recurrent"  nothing: no state handed on is ever touched                                   every step
    "variational"    h where the gates see it                                once a sequence       once a sequence
    "rnndrop"        the cell itself, c = m (f c + i g)                      once a sequence       every step
    "recurrent"      the update alone, c = f c + i (m g)                     every step (`per`)    every step
    "weight_drop"    entries of the weights U that meet h                    once a forward pass   once a sequence
    ================ ======================================================= ===================== ======================

    Masks over features differ from one row of the batch to the next; those over weights serve all rows.

    Attributes
    ----------
    kind
        See the table; None: output dropout alone.
    input, between
        Probability to drop an entry of what the first layer sees, and of what each layer passes to the next. With
        `weights = "all"`: of the weights W that meet it, in the first layer and in the others.
    recurrent
        Probability for what passes from step to step, in every layer.
    output
        Probability to drop an entry of the last layer's hidden state before the head (Kratzert et al. 2019 use 0.4).
    tied
        "variational": True, one mask for all gates (the default); False, one for each gate.
    per
        "recurrent": a mask for each "step" (the default) or each "sequence".
    weights
        "weight_drop": "recurrent", U alone (the default, Merity); "all", W and U (hydroDL; `output` is then drawn every step).
    rows
        "weight_drop": True drops whole rows of the matrix; False (the default) single entries.

    Raises
    ------
    InputError
        A probability outside [0, 1), or a combination that cannot be or would do nothing.

    References
    ----------
    Non-recurrent: Zaremba et al. (2014), arXiv:1409.2329; Pham et al. (2013), arXiv:1312.4569.
    Variational: Gal and Ghahramani (2016), arXiv:1512.05287.
    RNNDrop: Moon et al. (2015), RNNDROP: a novel dropout for RNNs in ASR, IEEE ASRU.
    Recurrent dropout without memory loss: Semeniuta et al. (2016), arXiv:1603.05118.
    Weight drop: Merity et al. (2017), arXiv:1708.02182; W and U: Fang et al. (2020), doi:10.1029/2020WR028095 (hydroDL).
    Output: Kratzert et al. (2019), Hydrol. Earth Syst. Sci. 23, 5089-5110, doi:10.5194/hess-23-5089-2019.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> rl.Dropout(output=0.4).drops_anything
    True
    """

    kind: DropoutKind | None = None
    input: float | None = None
    between: float | None = None
    recurrent: float | None = None
    output: float | None = None
    tied: bool | None = None
    per: DropoutSpan | None = None
    weights: DroppedWeights | None = None
    rows: bool | None = None

    def __post_init__(self) -> None:
        for name, choices in {"kind": DropoutKind, "per": DropoutSpan, "weights": DroppedWeights}.items():
            if getattr(self, name) is not None:
                check_choice(f"dropout {name}", getattr(self, name), get_args(choices))
        for place in ("input", "between", "recurrent", "output"):
            p = getattr(self, place)
            if p is None:
                continue
            object.__setattr__(self, place, as_number(f"dropout {place}", p))
            if not 0 <= p < 1:
                raise InputError(f"dropout {place} = {p} is not a probability in [0, 1)")
        for variant in ("tied", "rows"):
            if getattr(self, variant) is not None:
                object.__setattr__(self, variant, as_flag(f"dropout {variant}", getattr(self, variant)))
        for variant, kind in {"tied": "variational", "per": "recurrent", "weights": "weight_drop", "rows": "weight_drop"}.items():
            if getattr(self, variant) is not None and self.kind != kind:
                raise InputError(f'dropout {variant} is a variant of kind = "{kind}"; set that kind, or leave {variant} out')
        self._check_places()

    def _check_places(self) -> None:
        """Refuse a place that the kind does not have, and a kind without the place it is about."""
        given = {place for place in ("input", "between", "recurrent") if getattr(self, place) is not None}
        if self.kind is None and given:
            raise InputError(
                f'dropout {sorted(given)[0]} needs a kind, such as kind = "variational"; without one only output is dropped'
            )
        if self.kind == "non_recurrent":
            if self.recurrent:
                raise InputError(
                    f'dropout recurrent = {self.recurrent}: kind = "non_recurrent" never touches what passes from step to step; '
                    "choose another kind, or leave recurrent out"
                )
            if not given & {"input", "between"}:
                raise InputError('dropout kind = "non_recurrent" drops nothing; give input or between (output alone needs no kind)')
        elif self.kind == "variational":
            if not given:
                raise InputError('dropout kind = "variational" drops nothing; give input, between or recurrent')
        elif self.kind is not None and "recurrent" not in given:
            raise InputError(f'dropout kind = "{self.kind}" is about what passes from step to step; give recurrent, such as 0.2')
        if self.weights == "all" and "input" not in given:
            raise InputError('dropout weights = "all" drops the weights that meet the inputs too; give input, such as 0.5')

    def check(self, layer_type: LayerType, n_layers: int) -> None:
        """Refuse what cannot be in a stack of such layers."""
        if self.between is not None and n_layers == 1:
            raise InputError(
                f"dropout between = {self.between} is for what one layer passes to the next, and there is one layer; "
                "leave between out, or give hidden_sizes several numbers"
            )
        if self.kind == "rnndrop" and layer_type != "lstm":
            raise InputError(f'dropout kind = "rnndrop" drops the cell state, and type = "{layer_type}" has none')
        if layer_type == "rnn" and self.kind == "recurrent":
            raise InputError('dropout kind = "recurrent" drops the candidate at its gate, and type = "rnn" has no gate')
        if layer_type == "rnn" and self.tied is False:
            raise InputError('dropout tied = false gives each gate its mask, and type = "rnn" has no gates; leave tied out')

    @property
    def drops_anything(self) -> bool:
        """Whether something is dropped at all."""
        return any((self.input, self.between, self.recurrent, self.output))


@dataclass(frozen=True)
class LayerMasks:
    """What one layer drops in one forward pass; None: nothing.

    With the masks, an LSTM is z = (W w_ih)(inputs x) + (U w_hh)(hidden h) + b, c = f (state c) + i (update g), h = scale o tanh(c);
    a GRU is h = (1 - z) (update n) + z (state h), its gates seeing (hidden state h).

    Attributes
    ----------
    inputs
        (batch, time or 1, feature); a mask for each gate: (gate, batch, 1, feature).
    hidden
        (batch, time or 1, unit), on h where the gates see it; a mask for each gate: (gate, batch, 1, unit).
    state
        (batch, time or 1, unit), on the state handed on: c of an LSTM, h of a GRU.
    update
        (batch, time or 1, unit), on the candidate.
    weight_ih, weight_hh
        On the weights of the layer, their shape or (row, 1).
    scale
        On h. RNNDrop has 0 and 1 in its masks and 1 / (1 - p) here, since inside the recurrence it would grow without bound.
    """

    inputs: Tensor | None = None
    hidden: Tensor | None = None
    state: Tensor | None = None
    update: Tensor | None = None
    weight_ih: Tensor | None = None
    weight_hh: Tensor | None = None
    scale: float = 1.0

    @property
    def in_loop(self) -> bool:
        """Whether they touch what only a loop over the steps can reach."""
        inside = any(mask is not None for mask in (self.hidden, self.state, self.update))
        return inside or (self.inputs is not None and self.inputs.ndim == 4) or self.scale != 1


@dataclass(frozen=True)
class Masks:
    """What a whole stack drops in one forward pass: `output` is (batch, time or 1, unit), on the last layer's hidden state."""

    layers: tuple[LayerMasks, ...]
    output: Tensor | None = None


def draw_masks(
    dropout: Dropout,
    *,
    layer_type: LayerType,
    sizes: tuple[int, ...],
    batch: int,
    steps: int,
    output_steps: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Masks:
    """Draw fresh masks for one forward pass from torch's random state.

    Parameters
    ----------
    dropout
        What to drop.
    layer_type
        Of all layers.
    sizes
        Number of input features, then the hidden size of each layer.
    batch, steps, output_steps
        Rows, steps of the sequence, and steps that go to the head.
    device, dtype
        Of the masks.
    """
    draw = _Draw(torch.device(device), dtype)
    layers = []
    for place, (size_in, size) in enumerate(pairwise(sizes)):
        p_in = (dropout.between if place else dropout.input) or 0.0
        layers.append(_layer_masks(draw, dropout, layer_type, p_in, shape=(batch, steps, size_in, size)))
    once = dropout.kind == "variational" or (dropout.kind == "weight_drop" and dropout.weights != "all")
    output = draw(dropout.output or 0.0, batch, 1 if once else output_steps, sizes[-1])
    return Masks(tuple(layers), output)


def _layer_masks(
    draw: "_Draw", dropout: Dropout, layer_type: LayerType, p_in: float, *, shape: tuple[int, int, int, int]
) -> LayerMasks:
    """The masks of one layer; `shape` is batch, steps, features in and units."""
    batch, steps, size_in, size = shape
    p, gates = dropout.recurrent or 0.0, GATES[layer_type]
    if dropout.weights == "all":
        inputs = None
    elif dropout.tied is False:
        inputs = draw(p_in, gates, batch, 1, size_in)
    else:
        inputs = draw(p_in, batch, 1 if dropout.kind in ("variational", "weight_drop") else steps, size_in)
    match dropout.kind:
        case "naive":
            hidden = draw.by_step(p, batch, steps, size) if layer_type != "gru" else None
            state = draw.by_step(p, batch, steps, size) if layer_type != "rnn" else None
            masks = LayerMasks(inputs, hidden=hidden, state=state)
        case "variational":
            shape_h = (batch, 1, size) if dropout.tied is not False else (gates, batch, 1, size)
            masks = LayerMasks(inputs, hidden=draw(p, *shape_h))
        case "rnndrop" if p:
            kept = draw.kept(p, batch, 1, size)
            masks = LayerMasks(inputs, state=kept, update=kept, scale=1 / (1 - p))
        case "recurrent":
            masks = LayerMasks(inputs, update=draw.by_step(p, batch, 1 if dropout.per == "sequence" else steps, size))
        case "weight_drop":
            weight_ih = draw(p_in, gates * size, 1 if dropout.rows else size_in) if dropout.weights == "all" else None
            masks = LayerMasks(inputs, weight_ih=weight_ih, weight_hh=draw(p, gates * size, 1 if dropout.rows else size))
        case _:
            masks = LayerMasks(inputs)
    return masks


@dataclass(frozen=True)
class _Draw:
    """Draws masks on one device; None where p is 0."""

    device: torch.device
    dtype: torch.dtype

    def kept(self, p: float, *shape: int) -> Tensor:
        """1 where kept, 0 where dropped.

        A CPU draws its random numbers on one thread, so there 16 bits each have to do: p is then met to within 1e-5, in a third of
        the time of uniform floats and a tenth of that of bernoulli_.
        """
        if self.device.type != "cpu":
            return torch.rand(shape, device=self.device).ge_(p).to(self.dtype)
        count, bits = math.prod(shape), 1 << 16
        words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None)
        dropped = min(round(p * bits), bits - 1)
        return (words.view(torch.int16)[:count] >= dropped - bits // 2).view(shape).to(self.dtype)

    def __call__(self, p: float, *shape: int) -> Tensor | None:
        """As `kept`, scaled by 1 / (1 - p)."""
        return self.kept(p, *shape).mul_(1 / (1 - p)) if p else None

    def by_step(self, p: float, batch: int, steps: int, size: int) -> Tensor | None:
        """(batch, steps, size) with the steps first in memory, as a loop over them reads it."""
        drawn = self(p, steps, batch, size)
        return None if drawn is None else drawn.transpose(0, 1)
