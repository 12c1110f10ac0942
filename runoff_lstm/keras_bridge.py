"""From Keras layers and models to the same in torch and back, and from Windows to what Keras trains on.

Weights go over exactly: both order the gates i, f, g (Keras: c), o; Keras keeps the transposed matrices, and one bias where torch
adds two. Keras is an extra, imported where it is needed; it runs on torch unless KERAS_BACKEND says otherwise.
"""

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runoff_lstm.errors import InputError
from runoff_lstm.inputs.batch import Batch
from runoff_lstm.inputs.windows import Windows
from runoff_lstm.models.cells import LSTMCell
from runoff_lstm.models.ealstm import EALSTM
from runoff_lstm.models.heads import LinearHead
from runoff_lstm.models.recurrent import RecurrentModel, joined
from runoff_lstm.models.stack import Stack

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
}
"""By the name that Keras, and torch's functions, have for them."""


class HiddenStates(nn.Module):
    """A recurrent layer (batch first) as Keras has it: without its state, all of its hidden states or the last.

    From (batch, time, feature) to (batch, time, unit) with `return_sequences`, else (batch, unit).
    """

    def __init__(self, layer: nn.Module, *, return_sequences: bool) -> None:
        super().__init__()
        self.layer, self.return_sequences = layer, return_sequences

    def forward(self, sequence: Tensor) -> Tensor:
        hidden: Tensor = self.layer(sequence)[0]
        return hidden if self.return_sequences else hidden[:, -1]


def from_keras(layer: Any) -> nn.Module:
    """A layer or model of Keras in torch, with its weights and, in evaluation mode, its outputs.

    Dropout layers carry over; `dropout` and `recurrent_dropout` inside an LSTM, which act in training only, do not.

    Parameters
    ----------
    layer
        A built keras.layers.LSTM, Dense, Dropout or Activation, or a keras.Sequential or functional model that is a chain of these.

    Returns
    -------
    Module
        Of an LSTM torch.nn.LSTM, or `LSTMCell` where its activation is not tanh: both give all hidden states, whatever
        `return_sequences` says. Of a Dense layer nn.Linear, in an nn.Sequential with its activation if it has one. Of a model an
        nn.Sequential from (batch, time, feature) to what the model predicts.

    Raises
    ------
    InputError
        The layer is not built, is of another kind, or does what its counterpart does not.
    """
    keras = _keras()
    if not getattr(layer, "built", True):
        raise InputError(f"{layer.name} is not built and has no weights yet; give it an Input or call it on data once")
    if isinstance(layer, keras.Model):
        return nn.Sequential(*(_link(one) for one in _chain(layer) if not isinstance(one, keras.layers.InputLayer)))
    makers: dict[Any, Callable[[Any], nn.Module]] = {
        keras.layers.LSTM: _lstm_from_keras,
        keras.layers.Dense: _dense_from_keras,
        keras.layers.Activation: _activation_from_keras,
        keras.layers.Dropout: lambda dropout: nn.Dropout(dropout.rate),
    }
    if type(layer) not in makers:
        raise InputError(
            f"{getattr(layer, 'name', layer)} is a {type(layer).__name__}, which is not carried over to torch; "
            "give LSTM, Dense, Dropout and Activation layers, or a model of them"
        )
    return makers[type(layer)](layer)


def to_keras(module: nn.Module, *, return_sequences: bool | None = None) -> Any:
    """A module of torch in Keras, built, with its weights and, in evaluation mode, its outputs.

    nn.Dropout carries over; dropout inside an nn.LSTM or a Stack does not.

    Parameters
    ----------
    module
        nn.LSTM (batch first), `LSTMCell`, a `Stack` of LSTM layers, a `RecurrentModel` of one and a linear head, nn.Linear, or what
        `from_keras` returns. The input of a RecurrentModel becomes the forcing and, behind it at each step, the static attributes.
    return_sequences
        Whether the last LSTM gives its whole sequence or its last step; None: as the module does. An nn.Sequential keeps its own.

    Returns
    -------
    Layer
        keras.layers.LSTM or another layer, a keras.Sequential where there are several. Of a RecurrentModel it ends in
        (batch, time, 1), or (batch, 1) for the last step.

    Raises
    ------
    InputError
        The module is of another kind, or does what a layer of Keras does not.
    """
    keras = _keras()
    layers = [layer for part in _parts(module, return_sequences) for layer in _to_layers(part)]
    if len(layers) == 1:
        return layers[0]
    n_inputs = next((layer.weights[0].shape[0] for layer in layers if layer.weights), None)
    steps = (None,) if any(isinstance(layer, keras.layers.LSTM) for layer in layers) else ()
    return keras.Sequential([keras.Input((*steps, n_inputs)), *layers])


def keras_windows(windows: Windows, *, batch_size: int, seed: int = 0) -> Any:
    """The training batches of Windows for `keras_model.fit`, the same windows as in our own training.

    Each item is (x, y, sample_weight), x (batch, window, feature) with the static attributes behind the forcing at each step, and y

    - (batch, 1) of strict windows, (batch, lead) with lead times,
    - (batch, target, 1) of several targets a window, (batch, target, lead) with lead times, for a model that gives sequences:
      `keras.layers.Cropping1D((windows.sequence_length - 1, 0))` cuts them to the targets.

    What is not to be learned from is 0 in y and has a weight of 0; with lead times that is a whole forecast, if any of its steps is
    missing. After every pass come the windows of the next epoch, in as many batches, since Keras counts these once: where there are
    more or fewer windows, the last batches are larger or smaller. `fit(..., shuffle=False)` keeps the batches in order.

    Parameters
    ----------
    windows
        Of scaled data.
    batch_size
        Number of windows in a batch.
    seed
        The same one gives the same windows in every epoch.
    """
    base: Any = _keras().utils.PyDataset

    class KerasWindows(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.epoch, self._asked = 0, 0
            self._tiles = windows.training_tiles(seed=seed, epoch=0)
            self._batches = ceil(len(self._tiles) / batch_size)

        def __len__(self) -> int:
            return self._batches

        def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            self._asked += 1
            begin, end = _edges(len(self._tiles), self._batches, batch_size)[place : place + 2]
            x, y = _x_y(windows, windows.gather(self._tiles[begin : max(end, begin + 1)]))
            return x, np.nan_to_num(y, nan=0.0), (~np.isnan(y).any(axis=-1)).astype(np.float32)

        def on_epoch_end(self) -> None:
            """Go on to the next epoch where this one was gone through: Keras calls this before the first one too."""
            if self._asked >= self._batches:
                self.epoch += 1
                self._tiles = windows.training_tiles(seed=seed, epoch=self.epoch)
            self._asked = 0

    return KerasWindows()


def arrays(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Every valid window of a period, in order of basin and time (`Windows.calendar_tiles`), for `keras_model.predict`.

    All of x is laid out at once, `sequence_length` times the size of the data.

    Returns
    -------
    x, y
        As in `keras_windows`, but y is NaN where nothing is observed, or a target is another window's.
    """
    return _x_y(windows, windows.gather(windows.calendar_tiles()))


def vanilla_lstm(n_steps: int, n_features: int, *, units: int = 50) -> Any:
    """One LSTM and a linear layer on its last step, a Keras model: (batch, time, feature) to (batch, 1)."""
    layers = _keras().layers
    return _compiled((n_steps, n_features), layers.LSTM(units), layers.Dense(1))


def stacked_lstm(n_steps: int, n_features: int, *, units: Sequence[int] = (50, 50)) -> Any:
    """LSTMs, each passing its whole sequence on to the next, and a linear layer: (batch, time, feature) to (batch, 1)."""
    layers = _keras().layers
    *lower, top = units
    stacked = [layers.LSTM(size, return_sequences=True) for size in lower]
    return _compiled((n_steps, n_features), *stacked, layers.LSTM(top), layers.Dense(1))


def multi_step_lstm(n_steps: int = 7, n_features: int = 1, *, lead_times: int = 7) -> Any:
    """A week in, a week out: an LSTM and a dense layer, both with relu, and an output for each lead time: (batch, lead)."""
    layers = _keras().layers
    hidden = layers.LSTM(200, activation="relu"), layers.Dense(100, activation="relu")
    return _compiled((n_steps, n_features), *hidden, layers.Dense(lead_times))


def _keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras
    except ModuleNotFoundError as error:
        if error.name != "keras":
            raise
        raise InputError("Keras is not installed; pip install 'runoff-lstm[keras]'") from None
    return keras


def _chain(model: Any) -> list[Any]:
    """The layers of a model, each of which takes what the one before gives."""
    layers = list(model.layers)
    if isinstance(model, _keras().Sequential):
        return layers
    try:
        linked = all(after.input is before.output for before, after in pairwise(layers))
        linked = linked and len(model.outputs) == 1 and model.outputs[0] is layers[-1].output
    except (AttributeError, ValueError):
        linked = False
    if not linked:
        raise InputError(f"{model.name} is not a plain chain of layers; convert its layers one by one")
    return layers


def _link(layer: Any) -> nn.Module:
    made = from_keras(layer)
    return HiddenStates(made, return_sequences=layer.return_sequences) if isinstance(made, nn.LSTM | LSTMCell) else made


def _activation_from_keras(layer: Any) -> nn.Module:
    for name, module in _ACTIVATIONS.items():
        if layer.activation is getattr(_keras().activations, name):
            return module()
    name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
    raise InputError(f"{layer.name}: activation {name} is not carried over to torch; choose one of {', '.join(_ACTIVATIONS)}")


def _lstm_from_keras(layer: Any) -> nn.Module:
    refused = {
        "go_backwards": layer.go_backwards,
        "stateful": layer.stateful,
        "a recurrent_activation other than sigmoid": layer.recurrent_activation is not _keras().activations.sigmoid,
    }
    for what in (name for name, there in refused.items() if there):
        raise InputError(f"{layer.name} has {what}, which an LSTM in torch has not; train a layer without")
    activation = _activation_from_keras(layer)
    kernel, recurrent, *biases = map(torch.tensor, layer.get_weights())
    n_inputs, hidden_size = kernel.shape[0], recurrent.shape[0]
    made: nn.Module = LSTMCell(n_inputs, hidden_size, activation=activation)
    if isinstance(activation, nn.Tanh):
        made = nn.LSTM(n_inputs, hidden_size, batch_first=True)
    zero = torch.zeros(4 * hidden_size)
    bias = biases[0] if biases else zero
    made.load_state_dict({"weight_ih_l0": kernel.T, "weight_hh_l0": recurrent.T, "bias_ih_l0": bias, "bias_hh_l0": zero})
    return made


def _dense_from_keras(layer: Any) -> nn.Module:
    kernel, *bias = map(torch.tensor, layer.get_weights())
    linear = nn.Linear(kernel.shape[0], kernel.shape[1], bias=bool(bias))
    linear.load_state_dict(dict(zip(("weight", "bias"), (kernel.T, *bias), strict=False)))
    activation = _activation_from_keras(layer)
    return linear if isinstance(activation, nn.Identity) else nn.Sequential(linear, activation)


def _parts(module: nn.Module, return_sequences: bool | None) -> list[nn.Module]:  # noqa: FBT001 - handed on as it came
    """A module taken apart into `HiddenStates` and layers that are not recurrent."""
    match module:
        case nn.LSTM() | LSTMCell():
            parts: list[nn.Module] = [HiddenStates(module, return_sequences=return_sequences is not False)]
        case HiddenStates():
            parts = _parts(module.layer, module.return_sequences if return_sequences is None else return_sequences)
        case Stack():
            _check_stack(module)
            last = module.return_sequences if return_sequences is None else return_sequences
            parts = [HiddenStates(layer, return_sequences=True) for layer in module.layers[:-1]]
            parts.append(HiddenStates(module.layers[-1], return_sequences=last))
        case RecurrentModel(head=LinearHead() as head):
            parts = [*_parts(module.stack, return_sequences), head.linear]
        case nn.Sequential():
            parts = [one for part in module for one in _parts(part, None)]
        case _:
            parts = [module]
    return parts


def _check_stack(stack: Stack) -> None:
    kind = "an ealstm" if isinstance(stack, EALSTM) else f"a Stack of {stack.layer_type.upper()} layers"
    learned = " with a learned initial state" if len(stack.initial_states) else ""
    if type(stack) is not Stack or stack.layer_type != "lstm" or learned:
        raise InputError(f"{kind}{learned} is not carried over to Keras; give a Stack of LSTM layers that begin at zero")


def _to_layers(part: nn.Module) -> list[Any]:
    """The layers of Keras that do what a part does: several only of an LSTM that has several."""
    layers = _keras().layers
    match part:
        case HiddenStates():
            return _lstm_layers(part.layer, return_sequences=part.return_sequences)
        case nn.Linear():
            dense = layers.Dense(part.out_features, use_bias=part.bias is not None)
            return [_built(dense, (None, part.in_features), *part.parameters())]
        case nn.Dropout():
            return [layers.Dropout(part.p)]
    name = _activation_name(part)
    if name is None:
        head = f" with a {type(part.head).__name__}" if isinstance(part, RecurrentModel) else ""
        raise InputError(
            f"a {type(part).__name__}{head} is not carried over to Keras; give LSTM and linear layers, or a chain of them"
        )
    return [layers.Activation(name)]


def _lstm_layers(module: nn.Module, *, return_sequences: bool) -> list[Any]:
    """One layer of Keras for each layer of an LSTM, all but the last with their whole sequences."""
    if not module.batch_first or getattr(module, "bidirectional", False) or getattr(module, "proj_size", 0):
        raise InputError("an LSTM is carried over to Keras with batch_first=True, one direction and no proj_size; make it so")
    activation = getattr(module, "activation", torch.tanh)
    name = _activation_name(activation)
    if name is None:
        raise InputError(f"activation {activation} is not carried over to Keras; choose one of {', '.join(_ACTIVATIONS)}")
    made: list[Any] = []
    count = getattr(module, "num_layers", 1)
    for place in range(count):
        weight, recurrent, *biases = (one for key, one in module.named_parameters() if key.endswith(f"_l{place}"))
        layer = _keras().layers.LSTM(
            recurrent.shape[1],
            activation=name,
            use_bias=bool(biases),
            return_sequences=return_sequences or place < count - 1,
        )
        bias = [biases[0] + biases[1]] if biases else []
        made.append(_built(layer, (None, None, weight.shape[1]), weight, recurrent, *bias))
    return made


def _built(layer: Any, shape: tuple[int | None, ...], *weights: Tensor) -> Any:
    layer.build(shape)
    layer.set_weights([weight.detach().cpu().numpy().T for weight in weights])
    return layer


def _activation_name(activation: Any) -> str | None:
    """What Keras calls an activation of torch, be it a module or a function; None where it has no such."""
    for name, module in _ACTIVATIONS.items():
        if activation in (getattr(torch, name, None), getattr(F, name, None)) or str(activation) == str(module()):
            return name  # the text of a module shows its parameters
    return None


def _edges(n_windows: int, n_batches: int, batch_size: int) -> np.ndarray:
    """Where each batch begins, and the last one ends, so that none is empty where there are enough windows."""
    place = np.arange(n_batches)
    return np.append(np.minimum(place * batch_size, n_windows - n_batches + place), n_windows).clip(0)


def _x_y(windows: Windows, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a batch as arrays, in the shapes of `keras_windows`."""
    if batch.future is not None:
        raise InputError("windows with future_forcing have inputs of two kinds; leave it out for Keras")
    y = batch.discharge[:, 0] if windows.targets_per_window == 1 else batch.discharge
    return joined(batch.forcing, batch.static_attributes).cpu().numpy(), y.cpu().numpy()


def _compiled(shape: tuple[int, int], *layers: Any) -> Any:
    keras = _keras()
    model = keras.Sequential([keras.Input(shape), *layers])
    model.compile(optimizer="adam", loss="mse")
    return model
