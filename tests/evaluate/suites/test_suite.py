"""The file of a suite: combinations, what is left out and added, and every mistake by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evaluate.errors import SuiteError
from evaluate.options import Options
from evaluate.suites.suite import read_suite, suite_of

ROOT = Path(__file__).parents[3]
MATRIX = {"model": ["zoo:digits-relu", "zoo:digits-tanh"], "recipe": ["seed", "best-onebit"], "seed": [0, 1]}


def combinations(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"model": case.options.model, **case.options.given} for case in suite_of(record).cases]


def test_every_combination_with_the_shared_options() -> None:
    found = combinations({"options": {"steps": [4, 8], "calibration-samples": 50}, "matrix": MATRIX})
    assert len(found) == 8 and len({str(row) for row in found}) == 8
    assert all((row["steps"], row["calibration_samples"]) == ("4,8", 50) for row in found)
    assert found[0] == {"model": "zoo:digits-relu", "steps": "4,8", "calibration_samples": 50}


def test_exclude_and_include() -> None:
    found = combinations({
        "matrix": MATRIX,
        "exclude": [{"model": "zoo:digits-tanh", "recipe": ["seed", "radix"]}, {"seed": 1, "recipe": "best-onebit"}],
        "include": [{"model": "model.pt", "recipe": "radix", "bits": 4}],
    })  # fmt: skip
    assert found == [
        {"model": "zoo:digits-relu"}, {"model": "zoo:digits-relu", "seed": 1},
        {"model": "zoo:digits-relu", "recipe": "best-onebit"}, {"model": "zoo:digits-tanh", "recipe": "best-onebit"},
        {"model": "model.pt", "recipe": "radix", "bits": 4},
    ]  # fmt: skip


def test_axes_of_steps_and_numbers() -> None:
    found = suite_of({"matrix": {"model": ["m.pt"], "steps": [[4, 8], 16, "1,2"], "for-steps": [8], "tau-mem-ms": [5]}})
    assert [case.options.steps for case in found.cases] == ["4,8", "16", "1,2"]
    assert found.cases[0].options == Options("m.pt", steps="4,8", for_steps="8", tau_mem_ms=5.0)
    assert [case.label for case in found.cases] == ["m, steps 4,8", "m, steps 16", "m, steps 1,2"]


def test_models_of_one_name_are_called_by_their_paths() -> None:
    found = suite_of({"matrix": {"model": ["a/model.pt", "b/model.pt", "c.pt"]}})
    assert [case.label for case in found.cases] == ["a/model.pt", "b/model.pt", "c"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"matrx": MATRIX}, "matrx: unknown; did you mean matrix?"),
        ({"matrix": {"model": ["m"], "recipy": ["seed"]}}, "matrix.recipy: unknown; did you mean recipe?"),
        ({"options": {"calibration_sample": 5}}, "did you mean calibration-samples?"),
        ({"matrix": {"model": "m"}}, "matrix.model: got 'm'; expected a list"),
        ({"matrix": {"model": []}}, "matrix.model: got an empty list"),
        ({"matrix": {"model": ["m"], "limit": ["many"]}}, "matrix.limit: got 'many'; expected a whole number"),
        ({"matrix": {"model": ["m"], "seed": [True]}}, "matrix.seed: got True; expected a whole number"),
        ({"matrix": {"recipe": ["seed"]}}, "model: got none"),
        ({}, "no case"),
        ({"matrix": MATRIX, "exclude": [{"seed": 7}]}, "exclude 1: fits no combination"),
        ({"matrix": MATRIX, "exclude": [{}]}, "exclude 1: got nothing"),
        ({"matrix": MATRIX, "include": {"model": "m"}}, "include: got one table; expected [[include]]"),
        ({"matrix": MATRIX, "repeat": 0}, "repeat: got 0"),
        ({"matrix": MATRIX, "options": {"bits": 4}}, "--bits: has no effect with --recipe seed"),
        ({"matrix": {"model": ["m"], "recipe": ["all"]}}, "several runs"),
        ({"matrix": {"model": ["m"], "recipe": ["sead"]}}, "did you mean seed?"),
        ({"matrix": {"model": ["m"]}, "options": {"out": "x"}}, "options.out: unknown"),
    ],
)
def test_every_mistake_is_named(record: dict[str, Any], message: str) -> None:
    with pytest.raises(SuiteError) as refusal:
        suite_of(record)
    assert message in str(refusal.value)


def test_all_mistakes_at_once_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text("repeat = 'x'\nmatrices = 3\n[matrix]\nmodell = ['a']\n")
    with pytest.raises(SuiteError) as refusal:
        read_suite(path)
    assert [line.startswith(f"{path}: ") for line in str(refusal.value).splitlines()] == [True] * 3
    path.write_text("no toml")
    with pytest.raises(SuiteError, match="no TOML"):
        read_suite(path)
    with pytest.raises(SuiteError, match="cannot be read"):
        read_suite(tmp_path / "absent.toml")


def test_our_own_suite_is_a_suite() -> None:
    assert len(read_suite(ROOT / ".ci" / "suite.toml").cases) == 6
