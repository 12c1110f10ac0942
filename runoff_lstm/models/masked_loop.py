"""The recurrent layers step by step with their masks, for the kinds of dropout that reach into the loop.

One loop over time a layer serves every kind; without masks it gives what torch.nn gives. The LSTM's backward pass is written out:
what does not depend on the gradient handed back in time is computed over the whole sequence at once, and the loop keeps the rest.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from runoff_lstm.models.dropout import LayerMasks, LayerType

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""W, U and their biases, as torch.nn has them: weight_ih, weight_hh, bias_ih, bias_hh."""

_Result = tuple[Tensor, tuple[Tensor, ...]]


def run_masked(layer_type: LayerType, weights: Weights, sequence: Tensor, state: tuple[Tensor, ...], masks: LayerMasks) -> _Result:
    """Run one layer over a sequence in a loop over its steps.

    Parameters
    ----------
    layer_type, weights
        The layer; the weights in the order and shapes of torch.nn.
    sequence
        (batch, time, feature).
    state
        h (and c), each (batch, unit).
    masks
        What is dropped; masks on weights are not looked at.

    Returns
    -------
    hidden, state
        (batch, time, unit), and the state after the last step, each (batch, unit).
    """
    run = {"lstm": _run_lstm, "gru": _run_gru, "rnn": _run_rnn}[layer_type]
    masks = replace(
        masks,
        inputs=_time_first(masks.inputs),
        hidden=_time_first(masks.hidden),
        state=_time_first(masks.state),
        update=_time_first(masks.update),
    )
    hidden, state = run(weights, sequence.transpose(0, 1), state, masks)
    return hidden.transpose(0, 1), state


def _run_rnn(weights: Weights, sequence: Tensor, state: tuple[Tensor, ...], masks: LayerMasks) -> _Result:
    """One tanh: h = tanh(W x + U (m h) + b)."""
    weight, recurrent, bias, recurrent_bias = weights
    (h,), made = state, []
    for x, mask in zip(_input_product(sequence, weight, bias + recurrent_bias, masks.inputs), _steps(masks.hidden), strict=False):
        h = torch.tanh(x + _product(h, recurrent, mask))
        made.append(h)
    return torch.stack(made), (h,)


def _run_gru(weights: Weights, sequence: Tensor, state: tuple[Tensor, ...], masks: LayerMasks) -> _Result:
    """Candidate n = tanh(W x + b + r (U (m h) + b)), then h = (1 - z) (m n) + z (m h)."""
    weight, recurrent, bias, recurrent_bias = weights
    (h,), made = state, []
    inner = _input_product(sequence, weight, bias, masks.inputs).flatten(2)
    steps = zip(inner, _steps(masks.hidden), _steps(masks.state), _steps(masks.update), strict=False)
    for x, m_hidden, m_state, m_update in steps:
        if m_state is not None:
            h = h * m_state
        x_r, x_z, x_n = x.chunk(3, dim=1)
        h_r, h_z, h_n = (_product(h, recurrent, m_hidden) + recurrent_bias).chunk(3, dim=1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        h = (1 - z) * (n if m_update is None else n * m_update) + z * h
        made.append(h)
    return torch.stack(made), (h,)


def _run_lstm(weights: Weights, sequence: Tensor, state: tuple[Tensor, ...], masks: LayerMasks) -> _Result:
    """Gates z = W x + U (m h) + b, then c = f (m c) + i (m g), then h = scale o tanh(c)."""
    weight, recurrent, bias, recurrent_bias = (_reordered(one) for one in weights)
    inputs, hidden = (mask if mask is None or mask.ndim == 3 else _reordered(mask) for mask in (masks.inputs, masks.hidden))
    inner = _input_product(sequence, weight, bias + recurrent_bias, inputs)
    inner = inner.view(*inner.shape[:2], 4, -1)
    loop: Any = _LSTMLoop.apply
    made, h, c = loop(inner, recurrent, *state, hidden, masks.state, masks.update, masks.scale)
    return made, (h, c)


def _time_first(mask: Tensor | None) -> Tensor | None:
    """From (batch, time, unit) to (time, batch, unit); by gate from (gate, batch, 1, unit) to (gate, 1, batch, unit)."""
    return None if mask is None else mask.transpose(-3, -2)


def _steps(mask: Tensor | None, *, backwards: bool = False) -> Iterator[Any]:
    """The mask of every step, (batch, unit), by gate (gate, batch, unit); without end where one serves all steps."""
    if mask is None:
        return repeat(None)
    if mask.ndim == 4:
        return repeat(mask[:, 0])
    if len(mask) == 1:
        return repeat(mask[0])
    return iter(mask.unbind(0)[::-1] if backwards else mask.unbind(0))


def _input_product(sequence: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
    """W (m x) + b of the whole sequence, (time, batch, gate * unit), or with a mask for each gate (time, batch, gate, unit)."""
    if mask is None or mask.ndim == 3:
        return F.linear(sequence if mask is None else sequence * mask, weight, bias)
    gates, steps = len(mask), len(sequence)
    blocks, biases = weight.view(gates, -1, weight.shape[1]), bias.view(gates, 1, -1)
    product = torch.baddbmm(biases, (sequence * mask).flatten(1, 2), blocks.transpose(1, 2))
    return product.view(gates, steps, -1, product.shape[2]).permute(1, 2, 0, 3)


def _product(h: Tensor, recurrent: Tensor, mask: Tensor | None) -> Tensor:
    """U (m h), (batch, gate * unit), with one mask or one for each gate."""
    if mask is None or mask.ndim == 2:
        return (h if mask is None else h * mask) @ recurrent.T
    blocks = recurrent.view(len(mask), -1, recurrent.shape[1])
    return torch.bmm(h * mask, blocks.transpose(1, 2)).transpose(0, 1).flatten(1)


def _reordered(gates: Tensor) -> Tensor:
    """From torch's i, f, g, o to o, i, f, g: side by side the three sigmoids, and the three gates that act on the cell."""
    i, f, g, o = gates.chunk(4)
    return torch.cat([o, i, f, g])


class _LSTMLoop(torch.autograd.Function):
    """The LSTM over time, forward and backward, time-first, the gates in blocks of columns in the order o, i, f, g.

    Takes W x + b (time, batch, gate, unit), U (4 unit, unit), h and c (batch, unit), the masks of the loop as `LayerMasks` has them
    but time-first, and the scale; gives the hidden states (time, batch, unit), and the last h and c.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inner: Tensor,
        recurrent: Tensor,
        h: Tensor,
        c: Tensor,
        hidden: Tensor | None,
        state: Tensor | None,
        update: Tensor | None,
        scale: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, _, size = inner.shape
        gates, recurrent_t = inner.new_empty(steps, batch, 4 * size), recurrent.T
        hs, cs = inner.new_empty(steps + 1, batch, size), inner.new_empty(steps + 1, batch, size)
        hs[0], cs[0] = h, c
        squashed = inner.new_empty(steps, batch, size)  # tanh(c)
        masked_h, masked_c, masked_g = (torch.empty_like(hs[0]) for _ in range(3))
        masked_h4, product = (inner.new_empty(4, batch, size) for _ in range(2))
        blocks_t = recurrent.view(4, size, size).transpose(1, 2)
        parts = (inner, gates, gates[:, :, : 3 * size], *gates.chunk(4, 2), hs[:-1], hs[1:], cs[:-1], cs[1:], squashed)
        masks = zip(_steps(hidden), _steps(state), _steps(update), strict=False)
        for part, (m_hidden, m_state, m_update) in zip(zip(*parts, strict=True), masks, strict=False):
            x, z, o_i_f, o, i, f, g, h_before, h_now, c_before, c_now, tanh_c = part
            if m_hidden is None:
                torch.addmm(x.flatten(1), h_before, recurrent_t, out=z)
            elif m_hidden.ndim == 2:
                torch.addmm(x.flatten(1), torch.mul(h_before, m_hidden, out=masked_h), recurrent_t, out=z)
            else:
                torch.bmm(torch.mul(h_before, m_hidden, out=masked_h4), blocks_t, out=product)
                torch.add(x, product.transpose(0, 1), out=z.view_as(x))
            o_i_f.sigmoid_()
            g.tanh_()
            torch.mul(f, c_before if m_state is None else torch.mul(c_before, m_state, out=masked_c), out=c_now)
            c_now.addcmul_(i, g if m_update is None else torch.mul(g, m_update, out=masked_g))
            torch.tanh(c_now, out=tanh_c)
            torch.mul(o, tanh_c, out=h_now)
            if scale != 1:
                h_now.mul_(scale)
        ctx.scale = scale
        ctx.save_for_backward(recurrent, gates, hs, cs, squashed, hidden, state, update)
        return hs[1:], hs[-1].clone(), cs[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_hidden: Tensor, grad_h: Tensor, grad_c: Tensor) -> tuple[Tensor | None, ...]:
        recurrent, gates, hs, cs, squashed, hidden, state, update = ctx.saved_tensors
        steps, batch, size = squashed.shape
        o, i, f, g = gates.chunk(4, 2)
        c_by_c = f if state is None else f * state  # slope of c(t) by c(t-1)
        h_by_c = squashed.square().neg_().add_(1).mul_(o)
        by_z = torch.empty_like(gates)  # slope of h by the output gate's z, of c by the others'
        by_z_o, by_z_i, by_z_f, by_z_g = by_z.chunk(4, 2)
        torch.mul((1 - o).mul_(o), squashed, out=by_z_o)
        torch.mul((1 - i).mul_(i), g, out=by_z_i)
        torch.mul((1 - f).mul_(c_by_c), cs[:-1], out=by_z_f)
        torch.mul(g.square().neg_().add_(1), i, out=by_z_g)
        if update is not None:
            by_z_i.mul_(update)
            by_z_g.mul_(update)
        if ctx.scale != 1:
            h_by_c.mul_(ctx.scale)
            by_z_o.mul_(ctx.scale)

        by_gate = hidden is not None and hidden.ndim == 4
        blocks = recurrent.view(4, size, size)
        grad_z = torch.empty_like(gates)
        grad_o, grad_i_f_g = grad_z[:, :, :size], grad_z.view(steps, batch, 4, size)[:, :, 1:]
        by_z_i_f_g = by_z.view(steps, batch, 4, size)[:, :, 1:]
        dh, dc = grad_h + grad_hidden[-1], grad_c.clone()
        product, product4 = torch.empty_like(dh), dh.new_empty(4, batch, size)
        parts = (part.unbind(0)[::-1] for part in (h_by_c, c_by_c, by_z_o, by_z_i_f_g, grad_z, grad_o, grad_i_f_g))
        handed_back = (*grad_hidden.unbind(0)[-2::-1], torch.zeros_like(dh))  # to h of the step before
        each = zip(handed_back, zip(*parts, strict=True), _steps(hidden, backwards=True), strict=False)
        for before, (shown, kept, slope_o, slope_i_f_g, dz, dz_o, dz_i_f_g), mask in each:
            dc.addcmul_(dh, shown)
            torch.mul(dc[:, None], slope_i_f_g, out=dz_i_f_g)
            torch.mul(dh, slope_o, out=dz_o)
            dc.mul_(kept)
            if mask is None:
                torch.addmm(before, dz, recurrent, out=dh)
            elif mask.ndim == 2:
                torch.addcmul(before, torch.mm(dz, recurrent, out=product), mask, out=dh)
            else:
                torch.bmm(dz.view(batch, 4, size).transpose(0, 1), blocks, out=product4).mul_(mask)
                torch.add(before, torch.sum(product4, 0, out=product), out=dh)

        flat = grad_z.view(-1, 4 * size)
        if by_gate:
            pairs = zip(flat.chunk(4, 1), hidden, strict=True)
            grad_recurrent = torch.cat([columns.T @ (hs[:-1] * mask).view(-1, size) for columns, mask in pairs])
        else:
            grad_recurrent = flat.T @ (hs[:-1] if hidden is None else hs[:-1] * hidden).reshape(-1, size)
        return grad_z.view(steps, batch, 4, size), grad_recurrent, dh, dc, None, None, None, None
