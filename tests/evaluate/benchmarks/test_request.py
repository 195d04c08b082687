"""Options and the cases that they stand for."""

from __future__ import annotations

from typing import Any

import pytest

import evaluate.benchmarks.request as module
from evaluate.benchmarks.request import SCALINGS, BenchmarkRequest, Case, cases
from evaluate.errors import BenchmarkError


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 8)


def test_the_grid_is_every_combination_once() -> None:
    asked = BenchmarkRequest(("digits-relu", "vgg16-32x32"), (8, 32), (1, 4), (1, 2))
    found = cases(asked)
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 2
    assert Case("vgg16-32x32", 32, 4, 2) in found and {case.threshold_scale for case in found} == {1.0}


def test_each_network_has_a_batch_of_its_own_by_default() -> None:
    batches = {case.network: case.batch for case in cases(BenchmarkRequest(threads=(1,)))}
    assert batches == {"mlp-784-1200-1200-10": 256, "fashion-cnn-relu": 16, "vgg16-32x32": 4}


@pytest.mark.parametrize("axis", SCALINGS)
def test_scaling_varies_one_quantity_and_holds_the_others(axis: str) -> None:
    found = cases(BenchmarkRequest(("mlp-784-1200-1200-10",), (8, 32), (64,), (1,), scaling=(axis,)))
    fields = {"steps": "steps", "batch": "batch", "width": "network", "rate": "threshold_scale"}
    varied = {name for name in Case.__dataclass_fields__ if len({getattr(case, name) for case in found}) > 1}
    assert varied == {fields[axis]} and len(found) == len(SCALINGS[axis])
    assert axis == "steps" or {case.steps for case in found} == {32}


def test_scalings_share_their_common_case() -> None:
    found = cases(BenchmarkRequest(("mlp-784-1200-1200-10",), (32,), (64,), (1,), scaling=("steps", "batch", "rate")))
    lengths = [len(SCALINGS[axis]) for axis in ("steps", "batch", "rate")]
    assert len(found) == sum(lengths) - 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": ("lenet",)}, "--networks: got 'lenet'; expected digits-relu"),
        ({"networks": ("mlp-784",)}, "--networks: got 'mlp-784'"),
        ({"networks": ()}, "--networks: got nothing"),
        ({"steps": (0, 8)}, "--steps: got 0; expected numbers from 1"),
        ({"steps": ()}, "--steps: got nothing"),
        ({"batch": (-1,)}, "--batch: got -1"),
        ({"threads": (9,)}, "--threads: got 9; expected at most 8"),
        ({"threads": ()}, "--threads: got nothing"),
        ({"repeats": 0}, "--repeats: got 0"),
        ({"engines": ("fast",)}, "--engines: got fast; expected some of dense, events"),
        ({"engines": ()}, "--engines: got nothing"),
        ({"peers": ("norse",)}, "--peers: got norse; expected some of spikingjelly, sinabs"),
        ({"neuron": "izhikevich"}, "--neuron: got izhikevich; expected one of seed, lif, if"),
        ({"scaling": ("depth",)}, "--scaling: got depth; expected some of steps"),
        ({"scaling": ("width",), "networks": ("digits-relu",)}, "--scaling: got width, but no network is a perceptron"),
        ({"seed": -1}, "--seed: got -1"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchmarkError) as refusal:
        BenchmarkRequest(**options)
    assert str(refusal.value).startswith(message)


def test_all_offenders_are_named_at_once() -> None:
    with pytest.raises(BenchmarkError) as refusal:
        BenchmarkRequest(steps=(0,), repeats=0, engines=("fast",))
    assert [line.partition(":")[0] for line in str(refusal.value).splitlines()] == ["--steps", "--repeats", "--engines"]


def test_a_peer_that_is_not_installed_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "peer_version", lambda name: "1.0" if name == "sinabs" else None)
    with pytest.raises(BenchmarkError, match=r"--peers: got spikingjelly, not installed; pip install '\.\[peers\]'"):
        BenchmarkRequest(peers=("spikingjelly", "sinabs"))
    assert BenchmarkRequest().contenders == ("sinabs",)
    assert BenchmarkRequest(peers=()).contenders == ()
