"""The artefact: a spiking network that outlives the file and the class it came from."""

from __future__ import annotations

import json
import random
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from convert import (
    ConvertConfig,
    ConvertError,
    SpikingNetwork,
    convert,
    simulate,
    simulate_exact,
    simulate_reference,
    trace,
)
from convert.errors import CorruptFileError, UnknownFormatError
from convert.writing.artefact import VERSION, from_bytes, load, to_bytes

GOLDEN = Path(__file__).parents[1] / "golden"


def network(neuron: str, code: str, recipe: str = "seed") -> tuple[SpikingNetwork, torch.Tensor]:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 8),
        nn.Tanh(), nn.Linear(8, 3),
    ).eval()  # fmt: skip
    x = torch.rand(5, 2, 6, 6, generator=torch.Generator().manual_seed(2))
    return convert(trace(model, (2, 6, 6)), x, ConvertConfig(neuron=neuron, input_code=code, recipe=recipe)).snn, x


@pytest.mark.parametrize("code", ["constant", "poisson"])
@pytest.mark.parametrize("neuron", ["seed", "lif", "if"])
def test_a_loaded_network_fires_the_same_spikes(neuron: str, code: str, tmp_path: Path) -> None:
    snn, x = network(neuron, code)
    (tmp_path / "snn.safetensors").write_bytes(to_bytes(snn))
    again = load(tmp_path / "snn.safetensors")
    before, after = (simulate(each, x, 20, seed=3) for each in (snn, again))
    assert torch.equal(before.output, after.output)
    assert all(torch.equal(before.counts[name], after.counts[name]) for name in snn.sites)


def test_a_loaded_network_primes_its_synapses(tmp_path: Path) -> None:
    plain, x = network("seed", "constant")
    snn = replace(plain, primed=True)
    again = from_bytes(to_bytes(snn))
    assert again.primed and not from_bytes(to_bytes(plain)).primed
    assert torch.equal(simulate(snn, x, 20).output, simulate(again, x, 20).output)
    assert ConvertConfig.of_network(again).primed


def test_a_loaded_exact_network_settles_the_same(tmp_path: Path) -> None:
    snn, x = network("seed", "constant", recipe="exact")
    assert sorted(site.neuron.span for site in snn.sites.values()) == [15, 30]  # ReLU, tanh
    (tmp_path / "snn.safetensors").write_bytes(to_bytes(snn))
    again = load(tmp_path / "snn.safetensors")
    assert again.code == "exact"
    before, after = simulate_exact(snn, x), simulate_exact(again, x)
    assert bool(after.certified.all())
    assert torch.equal(before.logits, after.logits)
    assert torch.equal(before.output, after.output)
    assert torch.equal(before.steps, after.steps)
    assert all(torch.equal(before.spikes[name], after.spikes[name]) for name in snn.sites)
    assert to_bytes(again) == to_bytes(snn)


def differential() -> tuple[SpikingNetwork, torch.Tensor]:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 8), nn.ReLU6(),
        nn.Linear(8, 3),
    ).eval()  # fmt: skip
    x = torch.rand(5, 2, 6, 6, generator=torch.Generator().manual_seed(2))
    config = ConvertConfig(neuron="if", code="differential", spike_values=4, correction=0.9)
    return convert(trace(model, (2, 6, 6)), x, config).snn, x


def test_a_loaded_differential_network_says_the_same(tmp_path: Path) -> None:
    snn, x = differential()
    (tmp_path / "snn.safetensors").write_bytes(to_bytes(snn))
    again = load(tmp_path / "snn.safetensors")
    assert again.code == "differential"
    assert {k: s.neuron for k, s in again.sites.items()} == {k: s.neuron for k, s in snn.sites.items()}
    before, after = simulate(snn, x, 20), simulate(again, x, 20)
    assert torch.equal(before.output, after.output)
    assert all(torch.equal(before.counts[name], after.counts[name]) for name in snn.sites)
    assert to_bytes(again) == to_bytes(snn)
    config = ConvertConfig.of_network(again)
    assert (config.code, config.neuron) == ("differential", "if")


def test_a_differential_network_of_another_code_is_refused() -> None:
    content = to_bytes(differential()[0])
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].decode()
    changed = header.replace('\\"code\\": \\"differential\\", ', "")
    assert changed != header
    damaged = len(changed.encode()).to_bytes(8, "little") + changed.encode() + content[8 + length :]
    with pytest.raises(CorruptFileError, match="DifferentialNeuron in a network of code 'rate'"):
        from_bytes(damaged)


@pytest.mark.parametrize(("written", "read"), [('"code": "exact"', '"code": "morse"'), ('"code": "exact", ', "")])
def test_an_exact_network_of_another_code_is_refused(written: str, read: str) -> None:
    snn, _ = network("seed", "constant", recipe="exact")
    content = to_bytes(snn)
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].decode()
    written, read = (json.dumps(text)[1:-1] for text in (written, read))
    assert written in header
    changed = header.replace(written, read).encode()
    with pytest.raises(CorruptFileError, match="code"):
        from_bytes(len(changed).to_bytes(8, "little") + changed + content[8 + length :])


def test_300_flipped_bits_in_an_exact_network_load_and_settle_or_are_refused() -> None:
    snn, x = network("seed", "constant", recipe="exact")
    content, dice = to_bytes(snn), random.Random(0)
    settled = 0
    for _ in range(300):
        broken = bytearray(content)
        at = dice.randrange(len(content) * 8)
        broken[at // 8] ^= 1 << (at % 8)
        with suppress(ConvertError):
            settled += bool(simulate_exact(from_bytes(bytes(broken)), x[:1]).certified.all())
    assert 50 < settled < 300


def test_the_same_network_gives_the_same_bytes() -> None:
    snn, _ = network("seed", "constant")
    assert to_bytes(snn) == to_bytes(from_bytes(to_bytes(snn)))


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("artefact-v*.safetensors")), ids=lambda path: path.stem)
def test_every_earlier_version_still_loads_and_fires_as_it_did(file: Path) -> None:
    expected = json.loads(file.with_suffix(".json").read_text())
    x = torch.linspace(0, 1, 4 * 16).reshape(4, 1, 4, 4).flip(-1)
    for run in (simulate, simulate_reference):
        result = run(load(file), x, expected["steps"])
        assert {name: value.flatten(1).int().tolist() for name, value in result.counts.items()} == expected["counts"]
        assert torch.allclose(result.output[-1], torch.tensor(expected["output"], dtype=torch.float64))


def test_the_current_version_has_its_golden_file() -> None:
    assert (GOLDEN / f"artefact-v{VERSION}.safetensors").exists()


def test_a_later_version_is_refused_by_name() -> None:
    snn, _ = network("if", "constant")
    later = to_bytes(snn).replace(b'"version":"1"', b'"version":"9"')
    with pytest.raises(UnknownFormatError, match="version '9'"):
        from_bytes(later)


@pytest.mark.parametrize(
    ("make", "written", "read", "said"),
    [
        ("look-ahead", '"look_ahead": 3', '"look_ahead": 3000000', "look-ahead of 3000000 steps"),
        ("look-ahead", '"look_ahead": 3', '"look_ahead": "far"', "invalid literal"),
        ("primed", '"primed": true', '"primed": "often"', "got 'often'; expected true or false"),
        ("burst", '"most": 5', '"most": 5000', "burst: got 5000 spikes"),
        ("radix", '"bits": 6', '"bits": 60', "radix neuron: got 60 bits"),
        ("radix", '"code": "radix"', '"code": "rate"', "RadixNeuron in a network of code 'rate'"),
    ],
)
def test_bursts_digits_and_look_aheads_out_of_range_are_refused(make: str, written: str, read: str, said: str) -> None:
    options = {"neuron": "if"} | {
        "look-ahead": {"look_ahead": 3}, "burst": {"burst": 5}, "radix": {"recipe": "radix"},
        "primed": {"primed": True, "neuron": "seed"},
    }[make]  # fmt: skip
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.rand(20, 6, generator=torch.Generator().manual_seed(2))
    content = to_bytes(convert(trace(model, (6,)), x, ConvertConfig(**options)).snn)
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].decode()
    written, read = (json.dumps(text)[1:-1] for text in (written, read))
    assert written in header
    changed = header.replace(written, read, 1).encode()
    damaged = len(changed).to_bytes(8, "little") + changed + content[8 + length :]
    with pytest.raises(CorruptFileError, match=re.escape(said)):
        from_bytes(damaged)
