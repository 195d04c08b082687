"""Which networks, which data?

nets.py         the architectures, plain `nn.Sequential`
training.py     train a network by its recipe (recipes/NAME.toml)
checkpoints.py  the weights file: safetensors with metadata
catalogue.py    networks by name, and verification of the installed weights (weights/)
datasets.py     data sets by spec, samples.py is what comes out; specs.py, places.py, splitting.py, streaming.py
                serve all kinds: mnist.py (idx.py), cifar.py (archives.py, inert.py), folders.py (images.py), npz.py,
                tables.py, and functions.py, vision.py, hub.py (pairs.py)
errors.py       the error tree
__main__.py     the command line
"""

from zoo.catalogue import (
    ZooNetwork,
    is_checkpoint,
    load,
    load_checkpoint,
    names,
    save_checkpoint,
    verify,
)
from zoo.datasets import NAMED, SPECS, Dataset, Samples, open_dataset
from zoo.errors import CheckpointError, DatasetError, MissingDatasetError, UnknownNetworkError, ZooError
from zoo.training import accuracy, recipe, train

__all__ = [
    "NAMED",
    "SPECS",
    "CheckpointError",
    "Dataset",
    "DatasetError",
    "MissingDatasetError",
    "Samples",
    "UnknownNetworkError",
    "ZooError",
    "ZooNetwork",
    "accuracy",
    "is_checkpoint",
    "load",
    "load_checkpoint",
    "names",
    "open_dataset",
    "recipe",
    "save_checkpoint",
    "train",
    "verify",
]
