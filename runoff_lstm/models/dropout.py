"""What is dropped in training, and with which probability."""

from dataclasses import dataclass

from runoff_lstm.schema import InputError


@dataclass(frozen=True)
class Dropout:
    """Probability to drop, by place.

    Attributes
    ----------
    output
        An entry of the last layer's hidden state, fresh for every sample and step (Kratzert et al. 2019 use 0.4), in [0, 1).
    """

    output: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.output < 1:
            raise InputError(f"dropout output = {self.output} is not a probability in [0, 1)")
