"""Breiman's waveforms: series of 21 values in three classes, *synthetic*, generated from a fixed seed.

Each class mixes two of three triangular waves h(i) = max(6 - |i - c|, 0), i = 1 ... 21, c = 11, 15, 7, in a share u
that is uniform in [0, 1], and adds noise of unit variance:

    x(i) = u h_a(i) + (1 - u) h_b(i) + e(i),    (a, b) = (1, 2), (1, 3), (2, 3)

Why these and no recorded series: no small recorded set of series comes with the libraries that this project needs, and
other synthetic benchmarks say nothing, since networks are all but perfect on them (cylinder, bell, funnel: 99.9 %).
Here the classes overlap, so that no classifier can do better than the Bayes rule, about 86 %, and many samples lie near
a boundary, where a spiking network shows its errors.

Source: Breiman, Friedman, Olshen and Stone (1984), Classification and regression trees, section 2.6.2. Values are
rounded to 2^-10, so that the last bit of a machine's logarithm does not show.
"""

from __future__ import annotations

import numpy as np
import torch

from zoo.samples import Dataset, Samples

__all__ = ["open_waveform"]

_SPLITS = {"train": 6000, "test": 5000}
_SEEDS = {"train": 1984, "test": 1985}
_LENGTH, _CENTRES, _PAIRS = 21, (11, 15, 7), ((0, 1), (0, 2), (1, 2))


def open_waveform(spec: str) -> Dataset:
    """The data set; nothing is generated before a split is read."""
    return Dataset(
        spec=spec,
        name="waveform",
        sample_shape=(1, _LENGTH),
        classes=3,
        class_names=("waves 1 and 2", "waves 1 and 3", "waves 2 and 3"),
        has_labels=True,
        split_note="Synthetic (Breiman et al. 1984): 6,000 training series (calibration) and 5,000 test series "
        "(scored), each generated from a seed of its own; values as they are.",
        splits=_SPLITS,
        scored_split="test",
        calibration_split="train",
        whole_split="test",
        read=_read,
    )


def _read(split: str) -> Samples:
    # RandomState, whose streams numpy has frozen; those of its successor may change with a version.
    random = np.random.RandomState(_SEEDS[split])
    count = _SPLITS[split]
    at = np.arange(1, _LENGTH + 1)
    waves = np.stack([np.maximum(6 - np.abs(at - centre), 0) for centre in _CENTRES])
    classes = random.randint(0, len(_PAIRS), count)
    first, second = waves[np.array(_PAIRS)[classes].T]
    share = random.uniform(size=(count, 1))
    values = share * first + (1 - share) * second + random.standard_normal((count, _LENGTH))
    rounded = (np.round(values * 1024) / 1024).astype(np.float32)[:, None]
    return Samples(torch.from_numpy(rounded), torch.from_numpy(classes.astype(np.int64)), split)
