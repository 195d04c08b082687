"""A network of the zoo as a model file of each kind that `python -m convert` reads.

pt            the whole module, by torch.save; torch.nn classes only
pt2           torch.export, with a batch of any size
onnx          by torch's own exporter (needs onnx and onnxscript)
torchscript   scripted; reading it executes it, so it needs --trust
state_dict    weights alone, by torch.save; reading them needs the code of the network
checkpoint    the same inside a training checkpoint
safetensors   weights alone, in a file that can hold nothing else
skops         scikit-learn's MLPClassifier, for perceptrons that it can express (needs skops)
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from zoo.checkpoints import ZooNetwork
from zoo.errors import ExportError
from zoo.writing import write_atomically

__all__ = ["FORMATS", "export", "format_of", "reading_hint"]

_SUFFIXES = {
    ".pt": "pt",
    ".pt2": "pt2",
    ".onnx": "onnx",
    ".torchscript": "torchscript",
    ".safetensors": "safetensors",
    ".skops": "skops",
}
_SKLEARN = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "logistic"}
_INSTALL = "pip install onnx onnxscript skops"


def format_of(path: Path | str, asked: str | None = None) -> str:
    """The format to write: the one asked for, else what the suffix says.

    Raises
    ------
    ExportError
        No such format, or a suffix that leaves it open.

    Examples
    --------
    >>> format_of("model.pt2"), format_of("model.pth", "state_dict")
    ('pt2', 'state_dict')
    """
    found = asked or _SUFFIXES.get(Path(path).suffix)
    if found in FORMATS:
        return found
    got = f"format {asked!r}" if asked else f"suffix {Path(path).suffix!r}, which leaves the format open"
    raise ExportError(f"{path}: got {got}; expected one of {', '.join(FORMATS)}; name one with --format")


def export(network: ZooNetwork, path: Path | str, asked: str | None = None) -> str:
    """Write `network` to `path`, atomically, in the format of `format_of`, which is returned.

    Raises
    ------
    ExportError
        The format cannot hold this network, or needs a package that is not installed.
    CheckpointError
        The file cannot be written there.
    """
    chosen = format_of(path, asked)
    try:
        content = FORMATS[chosen](network)
    except ModuleNotFoundError as missing:
        raise ExportError(f"{path}: {chosen} needs {missing.name}, which is not installed; {_INSTALL}") from missing
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from error
    write_atomically(path, content)
    return chosen


def reading_hint(network: ZooNetwork, path: Path | str, chosen: str) -> str:
    """The command that reads the file."""
    needs = {"torchscript": " --trust"} | dict.fromkeys(
        ("state_dict", "checkpoint", "safetensors"), f" --arch \"zoo.architectures:build('{network.name}')\""
    )
    return f"python -m convert {path}{needs.get(chosen, '')} --data {network.data}"


def _pt(network: ZooNetwork) -> bytes:
    own = sorted({type(m).__name__ for m in network.module.modules() if not type(m).__module__.startswith("torch.nn")})
    if own:
        raise ExportError(
            f"the network has classes of its own ({', '.join(own)}), which torch.save would write as a pickle "
            "that executes code; expected a file called .pt2, for torch.export: change the suffix"
        )
    return _saved(network.module)


def _pt2(network: ZooNetwork) -> bytes:
    sample = torch.zeros(2, *network.sample_shape)
    program = torch.export.export(network.module, (sample,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _onnx(network: ZooNetwork) -> bytes:
    import onnx  # noqa: F401  # before the exporter, which has an error of its own where it is missing
    import onnxscript  # noqa: F401

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    sample = torch.zeros(2, *network.sample_shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the exporter is about to deprecate is no news to who exports a file
        program = torch.onnx.export(network.module, (sample,), dynamic_shapes=({0: "batch"},), verbose=False)
    assert program is not None  # as always without a path
    content: bytes = program.model_proto.SerializeToString()
    return content


def _torchscript(network: ZooNetwork) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript
        torch.jit.save(torch.jit.trace(network.module, torch.zeros(2, *network.sample_shape)), buffer)
    return buffer.getvalue()


def _checkpoint(network: ZooNetwork) -> bytes:
    epochs = network.training.epochs if network.training else None
    return _saved({"model_state_dict": network.module.state_dict(), "epoch": epochs, "accuracy": network.accuracy})


def _skops(network: ZooNetwork) -> bytes:
    import skops.io

    content: bytes = skops.io.dumps(_estimator(network))
    return content


def _estimator(network: ZooNetwork) -> Any:
    """scikit-learn's perceptron with these weights; a sample is a row of its values."""
    from sklearn.neural_network import MLPClassifier

    kinds = {type(layer) for layer in network.module}
    activations = kinds & _SKLEARN.keys()
    linear = [layer for layer in network.module if isinstance(layer, nn.Linear)]
    if kinds - activations - {nn.Flatten, nn.Linear} or len(activations) != 1:
        raise ExportError(
            "scikit-learn has perceptrons with ReLU, tanh or sigmoid units alone, and this is none; expected another "
            "format, such as pt2"
        )
    (activation,) = activations
    hidden = [layer.out_features for layer in linear[:-1]]
    classes = linear[-1].out_features
    estimator = MLPClassifier(hidden, activation=_SKLEARN[activation])
    rows = np.zeros((classes, linear[0].in_features))
    estimator.partial_fit(rows, np.arange(classes), classes=np.arange(classes))  # makes the arrays that are replaced
    estimator.coefs_ = [layer.weight.detach().double().numpy().T for layer in linear]
    estimator.intercepts_ = [layer.bias.detach().double().numpy() for layer in linear]
    return estimator


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


FORMATS: dict[str, Callable[[ZooNetwork], bytes]] = {
    "pt": _pt,
    "pt2": _pt2,
    "onnx": _onnx,
    "torchscript": _torchscript,
    "state_dict": lambda network: _saved(network.module.state_dict()),
    "checkpoint": _checkpoint,
    "safetensors": lambda network: safetensors.torch.save(network.module.state_dict()),
    "skops": _skops,
}
"""Format -> the content of a file."""
