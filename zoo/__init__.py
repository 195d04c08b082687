"""Which networks, which data?

architectures.py  networks without weights, by name; nets.py builds them from layers.py and torch.nn
training.py       train a network by its recipe (recipes/NAME.toml); provenance.py says how that went
checkpoints.py    the weights file: safetensors with metadata
catalogue.py      networks by name, and verification of the installed weights (weights/)
cards.py          what is known of a network, in lines; macs.py counts its products
exporting.py      a network as a model file of each kind that can be converted
datasets.py       data sets by spec, samples.py is what comes out; specs.py, places.py, splitting.py, streaming.py serve
                  all kinds: mnist.py (idx.py), cifar.py (archives.py, inert.py), waveform.py, folders.py (images.py),
                  npz.py, tables.py, and functions.py, vision.py, hub.py (pairs.py)
errors.py         the error tree
__main__.py       the command line
"""

from zoo.catalogue import (
    ZooNetwork,
    is_checkpoint,
    load,
    load_checkpoint,
    names,
    save_checkpoint,
    untrained,
    verify,
)
from zoo.datasets import NAMED, SPECS, Dataset, Samples, open_dataset
from zoo.errors import CheckpointError, DatasetError, MissingDatasetError, UnknownNetworkError, ZooError
from zoo.training import accuracy, fitted, held_out, recipe, train, trained

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
    "fitted",
    "held_out",
    "is_checkpoint",
    "load",
    "load_checkpoint",
    "names",
    "open_dataset",
    "recipe",
    "save_checkpoint",
    "train",
    "trained",
    "untrained",
    "verify",
]
