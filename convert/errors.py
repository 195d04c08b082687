"""The error tree of the room.

ConvertError (ValueError)
|-- LoadError                 a file that cannot be read as a network
|   |-- MissingFileError      no such file, or not a file
|   |-- CorruptFileError      truncated or damaged
|   |-- UnknownFormatError    none of the formats we read
|   |-- IncompleteModelError  weights without a network (a bare state_dict)
|   |-- ArchitectureError     --arch or --activation that do not fit the weights
|   `-- UnsafeFileError       reading it would execute code from the file
|-- GraphError                a graph whose parts do not fit together
|   |-- UnsupportedOpError    operations we have no meaning for, all of them at once
|   |-- NonFiniteWeightError  NaN or infinity in a named weight
|   `-- InputShapeError       samples of another shape than the network takes
|-- NoNeuronError             nothing in the network would become a neuron
|-- ConfigError               an option outside its range
|-- CalibrationError          calibration samples that cannot set a threshold
`-- WriteError                an output that cannot be written

Every message has four parts: where, what was found, what was expected, and the way out.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ArchitectureError",
    "CalibrationError",
    "ConfigError",
    "ConvertError",
    "CorruptFileError",
    "GraphError",
    "IncompleteModelError",
    "InputShapeError",
    "LoadError",
    "MissingFileError",
    "NoNeuronError",
    "NonFiniteWeightError",
    "UnknownFormatError",
    "UnsafeFileError",
    "UnsupportedOpError",
    "WriteError",
]


class ConvertError(ValueError):
    """Anything this room refuses."""


class LoadError(ConvertError):
    """A file that cannot be read as a network."""


class MissingFileError(LoadError):
    """No such file, or not a file."""


class CorruptFileError(LoadError):
    """A truncated or damaged file."""


class UnknownFormatError(LoadError):
    """None of the formats we read."""


class IncompleteModelError(LoadError):
    """Weights without a network, such as a bare state_dict."""


class ArchitectureError(LoadError):
    """A network named by the user that cannot be built or does not fit the weights."""


class UnsafeFileError(LoadError):
    """A file whose reading would execute code that it names."""


class GraphError(ConvertError):
    """A graph whose parts do not fit together."""


class UnsupportedOpError(GraphError):
    """Operations without a meaning here, all of them at once; `coverage` has the rows of all operations."""

    def __init__(self, message: str, coverage: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.coverage = coverage


class NonFiniteWeightError(GraphError):
    """NaN or infinity in a named weight."""


class InputShapeError(GraphError):
    """Samples of another shape than the network takes."""


class NoNeuronError(ConvertError):
    """Nothing in the network would become a neuron; `coverage` has the rows of all operations."""

    def __init__(self, message: str, coverage: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.coverage = coverage


class ConfigError(ConvertError):
    """An option outside its range."""


class CalibrationError(ConvertError):
    """Calibration samples that cannot set a threshold."""


class WriteError(ConvertError):
    """An output that cannot be written."""
