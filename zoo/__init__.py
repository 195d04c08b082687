"""Which networks, which data?

architectures.py  networks without weights, by name; nets.py builds them from layers.py and torch.nn
training.py       train a network by its recipe (recipes/NAME.toml); provenance.py says how that went
checkpoints.py    the weights file: safetensors with metadata
catalogue.py      networks by name, and verification of the installed weights (weights/)
cards.py          what is known of a network, in lines; macs.py counts its products
exporting.py      a network as a model file of each kind that can be converted
datasets.py       data sets by spec; fashion.py and npz.py read files, waveform.py generates series
samples.py        what comes out of a data set
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
from zoo.datasets import Dataset, Samples, open_dataset
from zoo.errors import CheckpointError, DatasetError, MissingDatasetError, UnknownNetworkError, ZooError
from zoo.training import accuracy, fitted, held_out, recipe, train, trained

__all__ = [
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
