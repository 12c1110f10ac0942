"""The kinds of dropout that the tests go through, all their variants."""

import torch

from runoff_lstm.models.dropout import Dropout, LayerMasks, Masks, draw_masks

KINDS = {
    "output": Dropout(output=0.4),
    "naive": Dropout(kind="naive", input=0.2, recurrent=0.3, output=0.4),
    "non_recurrent": Dropout(kind="non_recurrent", input=0.2, output=0.4),
    "variational": Dropout(kind="variational", input=0.2, recurrent=0.3, output=0.4),
    "variational, inputs alone": Dropout(kind="variational", input=0.4),
    "variational, untied": Dropout(kind="variational", input=0.2, recurrent=0.3, output=0.4, tied=False),
    "rnndrop": Dropout(kind="rnndrop", input=0.2, recurrent=0.3, output=0.4),
    "recurrent, per step": Dropout(kind="recurrent", input=0.2, recurrent=0.3, output=0.4),
    "recurrent, per sequence": Dropout(kind="recurrent", recurrent=0.3, per="sequence"),
    "weight drop": Dropout(kind="weight_drop", input=0.2, recurrent=0.5, output=0.4),
    "weight drop, rows": Dropout(kind="weight_drop", recurrent=0.5, rows=True),
    "weight drop, all": Dropout(kind="weight_drop", input=0.5, recurrent=0.5, weights="all", output=0.4),
    "weight drop, all, rows": Dropout(kind="weight_drop", input=0.5, recurrent=0.5, weights="all", rows=True),
}
IN_LOOP = [name for name in KINDS if name.startswith(("naive", "variational", "rnndrop", "recurrent")) and "alone" not in name]


def with_between(dropout, p=0.25):
    """The same kind in two layers, the place between them too."""
    return dropout if dropout.kind is None else Dropout(**{**vars(dropout), "between": p})


REFUSED = {
    "gru": ["rnndrop"],
    "rnn": ["rnndrop", "recurrent, per step", "recurrent, per sequence", "variational, untied"],
}
POSSIBLE = [
    (name, layer_type) for layer_type in ("lstm", "gru", "rnn") for name in KINDS if name not in REFUSED.get(layer_type, [])
]


def fresh_masks(stack, sequence):
    return draw_masks(
        stack.dropout,
        layer_type=stack.layer_type,
        sizes=stack.sizes,
        batch=len(sequence),
        steps=sequence.shape[1],
        output_steps=sequence.shape[1],
        dtype=sequence.dtype,
    )


def moved(masks, device):
    """The same masks on another device."""
    layers = [
        LayerMasks(**{name: one.to(device) if isinstance(one, torch.Tensor) else one for name, one in vars(layer).items()})
        for layer in masks.layers
    ]
    return Masks(tuple(layers), None if masks.output is None else masks.output.to(device))
