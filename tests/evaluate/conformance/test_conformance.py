"""The conformance suite: ours passes it, converters with known faults do not, and the README's adapter is one."""

from __future__ import annotations

import json
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from evaluate.conformance.contract import Check, judge
from evaluate.conformance.drives import calibration, row
from evaluate.conformance.neuron_checks import fires_in_turns, resets_to_zero
from evaluate.conformance.scoring import CHECKS, conform, find_adapter
from evaluate.contenders.adapters import ADAPTERS
from evaluate.contenders.peers import peer_version
from evaluate.errors import ConformanceError
from tests.commands import python

ROOT = Path(__file__).parents[3]
BY_NAME = {check.name: check for check in CHECKS}
README_ADAPTER = next(
    block
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    if "def adapter" in block
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_ours_passes(check: Check) -> None:
    result = judge(check, find_adapter("ours"))
    assert result.verdict == "pass", result.got


def test_names_are_unique_and_every_check_says_why_and_what() -> None:
    assert len(BY_NAME) == len(CHECKS)
    assert all(check.why and check.wanted() for check in CHECKS)


@pytest.mark.parametrize("check", [c for c in CHECKS if c.expected and not c.options], ids=lambda check: check.name)
def test_the_sums_are_those_of_the_ann(check: Check) -> None:
    """A closed form for spikes is one for rates: T times what the network itself says, clipped where it saturates."""
    if check.name in ("saturation", "debt", "bias behind a scale", "one ReLU, used twice"):
        pytest.skip("there the spiking network is not its ANN, as the check's own derivation says")
    with torch.no_grad():
        sums = (check.model().eval()(check.x).double() * check.steps).flatten()
    expected = check.expected[0]
    if check.name == "remainder":
        expected = tuple(Fraction(z) * check.steps for z in (3 / 8, 5 / 8, 7 / 8))
    assert sums.tolist() == pytest.approx([float(value) for value in expected])


def trained_away(model: nn.Module, calibration: Tensor, x: Tensor, steps: int) -> Tensor:
    """The ANN itself in every step: what a converter does that finds nothing to convert."""
    return model(x).expand(steps, *model(x).shape)


def resetting(model: nn.Module, calibration: Tensor, x: Tensor, steps: int) -> Tensor:
    """The suite's first networks by hand, with reset to zero."""
    potential, spikes = torch.zeros_like(x), []
    for _ in range(steps):
        potential = potential + x
        spikes.append((potential >= 1).float())
        potential = potential * (potential < 1)
    return torch.stack(spikes)


def test_the_ann_in_place_of_a_spiking_network_is_found_out() -> None:
    record = conform("trained away", trained_away)
    failed = {line["name"] for line in record["checks"] if line["verdict"] == "fail"}
    assert {"spike count", "tanh spikes", "GELU spikes", "functional ReLU", "nothing to convert"} <= failed
    assert record["score"]["not offered"] == 2 and sum(record["score"].values()) == len(CHECKS)


def test_reset_to_zero_is_found_out_by_the_remainder_alone() -> None:
    assert judge(BY_NAME["no leak"], resetting).verdict == "pass"
    assert judge(BY_NAME["remainder"], resetting).got == "8 12 12"


@given(st.integers(1, 16), st.integers(1, 200))
def test_reset_to_zero_in_closed_form(sixteenths: int, steps: int) -> None:
    drive, potential, count = Fraction(sixteenths, 16), Fraction(0), 0
    for _ in range(steps):
        potential += drive
        if potential >= 1:
            potential, count = Fraction(0), count + 1
    assert resets_to_zero(float(drive), steps) == count


@given(st.integers(1, 200))
def test_the_leaky_neuron_in_closed_form(steps: int) -> None:
    potential, count = Fraction(0), 0
    for _ in range(steps):
        potential = potential / 2 + Fraction(3, 4)
        if potential >= 1:
            potential, count = potential - 1, count + 1
    assert fires_in_turns(steps) == count


@pytest.mark.parametrize("start, expected", [(Fraction(0), 0), (Fraction(1, 2), 1)])
def test_the_debt_in_closed_form_for_both_starts(start: Fraction, expected: int) -> None:
    inhibits, debtor, count = start, start, 0
    for _ in range(64):
        inhibits += Fraction(1, 4)
        debtor += 1 - 3 * (inhibits >= 1)
        inhibits -= inhibits >= 1
        count += debtor >= 1
        debtor -= debtor >= 1
    assert (count,) == BY_NAME["debt"].expected[expected]


def wrong_shape(model: nn.Module, calibration: Tensor, x: Tensor, steps: int) -> Tensor:
    return model(x)


def edits(model: nn.Module, calibration: Tensor, x: Tensor, steps: int) -> Tensor:
    found = find_adapter("ours")(model, calibration, x, steps)
    next(model.parameters()).add_(1)
    return found


def refuses(model: nn.Module, calibration: Tensor, x: Tensor, steps: int) -> Tensor:
    raise RuntimeError("no\nthanks")


def test_what_comes_back_is_judged_by_shape_and_the_callers_model_must_stay() -> None:
    check = BY_NAME["no leak"]
    assert "expected a tensor of (steps, batch, outputs) = (32, 1, ...)" in judge(check, wrong_shape).got
    assert judge(check, edits).got == "the caller's own weights were changed"
    assert (judge(check, refuses).verdict, judge(check, refuses).got) == ("refused", "RuntimeError: no thanks")
    assert judge(BY_NAME["nothing to convert"], refuses).verdict == "pass"


def test_infinite_outputs_fail() -> None:
    check = Check("x", "y", lambda: nn.Linear(1, 1), calibration([0.0], [1.0]), row([1.0]), 2, ((1,),))
    assert judge(check, lambda model, calibration, x, steps: torch.full((2, 1, 1), torch.inf)).got.startswith("not fin")


@pytest.mark.parametrize("name", ["nobody", "nowhere:adapter", "math:pi", "math:adapter", ":"])
def test_a_contender_that_cannot_be_asked(name: str) -> None:
    with pytest.raises(ConformanceError, match="--contender"):
        find_adapter(name)


def command(*arguments: str | Path, where: Path) -> subprocess.CompletedProcess[str]:
    return python("evaluate", "conform", *arguments, cwd=where)


def test_the_readmes_adapter_is_scored_from_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(README_ADAPTER)
    done = command("--contender", "mine:adapter", where=tmp_path)
    assert done.returncode == 3, done.stderr
    record = json.loads((tmp_path / "conform.snn" / "mine-adapter.json").read_text())
    right = {line["name"] for line in record["checks"] if line["verdict"] == "pass"}
    assert {"spike count", "remainder", "scales", "residual", "borders"} <= right
    promised = re.search(r"scores (\d+) of (\d+)", (ROOT / "README.md").read_text())
    assert promised and f"{promised[1]} of {promised[2]} checks pass" in done.stdout


def test_exit_statuses(tmp_path: Path) -> None:
    assert command("--contender", "nobody", where=tmp_path).returncode == 2
    done = command("--json", where=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["score"]["pass"] == len(CHECKS)


@pytest.fixture(params=[name for name in ADAPTERS if name != "ours"])
def contender(request: pytest.FixtureRequest) -> str:
    if peer_version(ADAPTERS[request.param].distribution) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.mark.filterwarnings("ignore")
def test_a_peer_counts_right_where_nothing_is_special(contender: str) -> None:
    for name in ("spike count", "remainder", "no leak", "borders", "average pooling"):
        assert judge(BY_NAME[name], find_adapter(contender)).verdict == "pass"
