"""What both networks run on: samples that are scored, and others that set the thresholds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import zoo
from convert.errors import ConfigError, InputShapeError

__all__ = ["SYNTHETIC_SAMPLES", "Inputs", "Wanted", "calibration_samples", "gather", "hashes"]

SYNTHETIC_SAMPLES = 256
"""How many samples of noise stand in for data that nobody named."""


@dataclass(frozen=True)
class Wanted:
    """Which samples: specs as `zoo.open_dataset` reads them, limits, the seed of every draw, where to look first."""

    data: str | None
    calibration: str | None
    limit: int | None
    calibration_samples: int
    seed: int
    input_low: float
    input_high: float
    data_dir: str | None = None


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is scored, what is calibrated on, and how the run file describes both."""

    x: Tensor
    labels: Tensor | None
    calibration: Tensor | None
    data_record: dict[str, Any]
    calibration_record: dict[str, Any]
    notes: tuple[str, ...] = ()


def gather(wanted: Wanted, shape: tuple[int, ...]) -> Inputs:
    """Samples of the given shape.

    Without data, uniform noise is scored; without calibration samples there are none.

    Raises
    ------
    zoo.DatasetError, InputShapeError
    ConfigError
        Calibration samples are among the scored ones.
    """
    dataset = None if wanted.data is None else zoo.open_dataset(wanted.data, wanted.data_dir)
    named = None if wanted.calibration is None else zoo.open_dataset(wanted.calibration, wanted.data_dir)
    fitted, record = _calibration(named or dataset, named is not None, wanted, shape)
    if dataset is None:
        return _synthetic(wanted, shape, fitted, record)
    scored = _scored(dataset, named is not None, wanted)
    x = _shaped(scored.x, shape, dataset.spec)
    described = {
        "spec": dataset.spec, "split": scored.split, "samples": len(scored), "sha256": scored.sha256,
        "labels": scored.y is not None, "sample_shape": list(shape), "split_note": dataset.split_note,
        **({"files": scored.files} if scored.files else {}),
    }  # fmt: skip
    return Inputs(x, scored.y, fitted, described, record, _overlap(x, fitted, wanted))


def hashes(wanted: Wanted, fitted: bool = True) -> dict[str, str | None]:
    """The hashes of what `gather` would return, as it describes them; None where nothing is named.

    Parameters
    ----------
    fitted : bool
        Whether there is anything to calibrate.

    Raises
    ------
    zoo.DatasetError
    """
    dataset = None if wanted.data is None else zoo.open_dataset(wanted.data)
    named = None if wanted.calibration is None else zoo.open_dataset(wanted.calibration)
    source = (named or dataset) if fitted else None
    return {
        "data": None if dataset is None else _scored(dataset, named is not None, wanted).sha256,
        "calibration": None if source is None else _fitting(source, named is not None, wanted).sha256,
    }


def calibration_samples(wanted: Wanted, shape: tuple[int, ...]) -> zoo.Samples | None:
    """The calibration samples of `gather` with their labels, which `gather` has no use for; None without data.

    The samples that are scored are not read. More `calibration_samples` begin with those of fewer.
    """
    spec = wanted.calibration or wanted.data
    if spec is None:
        return None
    drawn = _fitting(zoo.open_dataset(spec, wanted.data_dir), wanted.calibration is not None, wanted)
    return zoo.Samples(_shaped(drawn.x, shape, spec), drawn.y, drawn.split)


def _scored(dataset: zoo.Dataset, apart: bool, wanted: Wanted) -> zoo.Samples:
    """All that may be scored where calibration has other data, else what it leaves."""
    return dataset.whole(wanted.limit) if apart else dataset.scored(wanted.limit)


def _calibration(
    source: zoo.Dataset | None, named: bool, wanted: Wanted, shape: tuple[int, ...]
) -> tuple[Tensor | None, dict[str, Any]]:
    if source is None:
        return None, {"spec": None, "samples": 0, "note": "none: thresholds from batch norm or the weights"}
    fitting = _fitting(source, named, wanted)
    return _shaped(fitting.x, shape, source.spec), {
        "spec": source.spec, "split": fitting.split, "samples": len(fitting), "sha256": fitting.sha256,
        "note": f"{len(fitting)} samples of the {fitting.split} split, drawn with seed {wanted.seed}",
    }  # fmt: skip


def _fitting(source: zoo.Dataset, named: bool, wanted: Wanted) -> zoo.Samples:
    """From the training split; of a plain file that was named for calibration, from all of it."""
    if named and source.whole_split != source.scored_split:
        return source.whole(wanted.calibration_samples, wanted.seed)
    return source.calibration(wanted.calibration_samples, wanted.seed)


def _shaped(x: Tensor, shape: tuple[int, ...], spec: str) -> Tensor:
    if x[0].numel() != int(torch.tensor(shape).prod()):
        raise InputShapeError(
            f"{spec}: samples of shape {tuple(x.shape[1:])}, but the network takes {shape}; "
            "expected as many values in each: name other data"
        )
    return x.reshape(len(x), *shape)


def _overlap(x: Tensor, fitted: Tensor | None, wanted: Wanted) -> tuple[str, ...]:
    """Refuse calibration on what is scored; single duplicates inside a data set are noted."""
    if fitted is None:
        return ()
    seen = {_digest(sample) for sample in fitted}
    shared = sum(_digest(sample) in seen for sample in x)
    if shared > 0.01 * len(x) and wanted.calibration is not None:
        raise ConfigError(
            f"--calibration {wanted.calibration}: {shared} of the {len(x)} scored samples are among the calibration "
            "samples; expected different samples: leave --calibration out, and the data are split"
        )
    note = f"{shared} scored sample(s) are identical to a calibration sample: duplicates in the data."
    return (note,) if shared else ()


def _digest(sample: Tensor) -> bytes:
    return hashlib.sha256(sample.numpy().tobytes()).digest()


def _synthetic(wanted: Wanted, shape: tuple[int, ...], fitted: Tensor | None, calibration: dict[str, Any]) -> Inputs:
    count, low, high = wanted.limit or SYNTHETIC_SAMPLES, wanted.input_low, wanted.input_high
    generator = torch.Generator().manual_seed(wanted.seed)
    x = torch.rand((count, *shape), generator=generator) * (high - low) + low
    record = {
        "spec": "synthetic", "split": None, "samples": count, "sha256": _digest(x).hex(), "labels": False,
        "sample_shape": list(shape),
        "split_note": f"independent uniform numbers in [{low:g}, {high:g}], seed {wanted.seed}",
    }  # fmt: skip
    note = (
        "No data were named: both networks ran on synthetic inputs (uniform noise), so agreement and activity say "
        "little about real data, and accuracy is unmeasured. Name samples with --data SPEC."
    )
    return Inputs(x, None, fitted, record, calibration, (note,))
