"""Hints: what the user says about a file that the file does not say itself."""

from __future__ import annotations

from dataclasses import dataclass

from convert.errors import ConfigError

__all__ = ["ACTIVATIONS", "Hints"]

ACTIVATIONS = ("relu", "tanh", "sigmoid", "leaky_relu", "gelu", "silu", "elu")
"""What --activation accepts."""


@dataclass(frozen=True)
class Hints:
    """The options that describe the model file.

    Parameters
    ----------
    arch : str or None
        Where the network's code is, such as ``net.py:Net``, for a file that holds weights only.
    activation : str or None
        What stands between the layers of a plain stack of linear layers, one of `ACTIVATIONS`, with torch's defaults.
    trust : bool
        Whether reading the file may execute code from it.

    Raises
    ------
    ConfigError
    """

    arch: str | None = None
    activation: str | None = None
    trust: bool = False

    def __post_init__(self) -> None:
        """Refuse what no file can satisfy."""
        if self.activation is not None and self.activation not in ACTIVATIONS:
            raise ConfigError(
                f"--activation: got {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}; for other networks "
                "name their code with --arch net.py:Net"
            )
        if self.arch is not None and self.activation is not None:
            raise ConfigError("--activation: got --arch as well; expected one of them: --arch says it all, drop this")
