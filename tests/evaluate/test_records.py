"""The run file: round trip, refusals, atomic writing."""

from __future__ import annotations

import json
import math
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.errors import EvaluateError, RunFileError
from evaluate.records import SCHEMA, Metric, Run, content_hash, read_run, write_atomically, write_run

RUN = Run(
    id="0123abcd",
    case={"model": {"name": "mlp", "sha256": "ff"}, "seed": 7, "unicode": "Höppner"},
    metrics=(
        Metric("snn.accuracy", 0.97, "fraction", "higher", 450, 0.95, 0.98, "32 steps"),
        Metric("latency.steps", None, "steps", "lower", note="not reached in 64 steps"),
        Metric("time.ratio", 2.0, "ANN passes", "lower", 3, 1.9, 2.5, "", True, (2.5, 1.9, 2.0)),
    ),
    curves={"accuracy": [{"steps": 1, "value": 0.5}]},
    layers=({"name": "fc1", "threshold": 1.5},),
    assumptions={"energy": {"name": "ops-horowitz"}},
    environment={"python": "3.11.7"},
    notes=("one", "two"),
)


def record() -> dict[str, Any]:
    """The run as JSON reads it."""
    loaded: dict[str, Any] = json.loads(RUN.to_json())
    return loaded


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "run.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_run_survives_the_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_run(RUN, path)
    assert read_run(path) == RUN
    assert read_run(str(path)) == RUN
    assert read_run(tmp_path) == RUN, "the folder that holds it"


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20))
def test_every_float_and_text_survives(value: float, text: str) -> None:
    run = replace(RUN, metrics=(Metric("m", value, "J", "neither", note=text),), case={"text": text, "x": value})
    again = json.loads(run.to_json())
    assert again["metrics"][0]["value"] == value and again["case"] == {"text": text, "x": value}


def test_the_schema_comes_first() -> None:
    assert next(iter(record())) == "schema" and record()["schema"] == SCHEMA


def test_what_is_no_number_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        replace(RUN, case={"x": math.nan}).to_json()


def test_metric_by_name() -> None:
    assert RUN.metric("snn.accuracy").value == 0.97
    with pytest.raises(KeyError, match=r"ann.accuracy; this run has snn.accuracy, latency.steps"):
        RUN.metric("ann.accuracy")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"unit": ""}, "needs a unit"),
        ({"value": math.nan}, "value is nan"),
        ({"value": math.inf}, "value is inf"),
        ({"low": -math.inf}, "low is -inf"),
        ({"high": math.nan}, "high is nan"),
        ({"value": None}, "no note that says why"),
    ],
)
def test_a_metric_that_cannot_be_read_is_refused(fields: dict[str, Any], complaint: str) -> None:
    good = {"name": "snn.accuracy", "value": 0.5, "unit": "fraction", "better": "higher"}
    with pytest.raises(ValueError, match=f"metric snn.accuracy: .*{complaint}"):
        Metric(**{**good, **fields})


def test_a_missing_file_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match=r"nothing\.json: cannot be read .*python -m convert"):
        read_run(tmp_path / "nothing.json")
    with pytest.raises(RunFileError, match=r"run\.json: cannot be read"):
        read_run(tmp_path)


@pytest.mark.parametrize("content", ["", "not json", '{"schema": ', b"\xff\xfe\x00binary"])
def test_what_is_not_json_is_refused(tmp_path: Path, content: str | bytes) -> None:
    path = written(tmp_path, content)
    with pytest.raises(RunFileError, match=r"run\.json: not a run file"):
        read_run(path)


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"schema": "ann2spike.run/0"}', '{"schema": ["x"]}'])
def test_another_schema_is_refused(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(RunFileError, match=r"run\.json: schema is .*this version reads 'ann2spike.run/1'"):
        read_run(path)


@pytest.mark.parametrize("member", ["id", "case", "metrics", "curves", "layers", "assumptions", "environment"])
def test_a_missing_member_is_refused(tmp_path: Path, member: str) -> None:
    damaged = record()
    del damaged[member]
    path = written(tmp_path, json.dumps(damaged))
    with pytest.raises(RunFileError, match=rf"damaged run file .*{member}"):
        read_run(path)


@pytest.mark.parametrize(
    "damage",
    [
        {"metrics": None},
        {"metrics": [3]},
        {"metrics": [{"name": "x"}]},
        {"metrics": [{"name": "x", "value": 1, "unit": "", "better": "higher"}]},
        {"metrics": [{"name": "x", "value": "much", "unit": "J", "better": "lower"}]},
        {"metrics": [{"name": "x", "value": 1.0, "unit": "s", "better": "lower", "observations": 3}]},
        {"metrics": [{"name": "x", "value": 1.0, "unit": "s", "better": "lower", "observations": ["long"]}]},
        {"layers": 3},
        {"surprise": 1},
    ],
)
def test_a_damaged_member_is_refused(tmp_path: Path, damage: dict[str, Any]) -> None:
    path = written(tmp_path, json.dumps({**record(), **damage}))
    with pytest.raises(RunFileError, match=r"damaged run file .*convert the model again"):
        read_run(path)


def test_a_run_file_error_is_a_value_error_of_the_room() -> None:
    assert issubclass(RunFileError, EvaluateError) and issubclass(EvaluateError, ValueError)


def test_a_run_file_from_before_timings_has_none(tmp_path: Path) -> None:
    old = record()
    for metric in old["metrics"]:
        del metric["timing"], metric["observations"]
    assert [(m.timing, m.observations) for m in read_run(written(tmp_path, json.dumps(old))).metrics] == [
        (False, ())
    ] * 3


def test_an_observation_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="observation"):
        Metric("time.ratio", 2.0, "ANN passes", "lower", observations=(1.0, math.inf))


def test_notes_may_be_absent(tmp_path: Path) -> None:
    short = record()
    del short["notes"]
    assert read_run(written(tmp_path, json.dumps(short))).notes == ()


def test_writing_replaces_and_keeps_ordinary_permissions(tmp_path: Path) -> None:
    path, plain = tmp_path / "run.json", tmp_path / "plain"
    plain.write_text("x")
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plain", "run.json"]


def test_a_failed_replacement_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    with pytest.raises(OSError):
        write_atomically(tmp_path / "run.json", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("evaluate.records.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("run.json", b"old")]


def test_the_hash_is_of_content_and_not_of_order() -> None:
    assert content_hash({"b": [1, 2], "a": 2.0}) == content_hash({"a": 2.0, "b": [1, 2]})
    assert content_hash({"b": [1, 2]}) != content_hash({"b": [2, 1]})
    # sha256 of {"a":1}
    assert content_hash({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
