"""The site of a history: what is planted is found, the same history gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.records import Metric, Run, write_run
from reports.changes import SHORTEST
from reports.dashboard import write_dashboard
from reports.datafiles import data_files, key_of
from reports.errors import ReportError
from reports.history import entry_of
from reports.movement import moved_most, moves
from reports.quantities import shift
from reports.series import BETTER, MOVED, SAME, UNKNOWN, WORSE, Case, Series, cases_of, direction
from tests.commands import python
from tests.reports.planted import HOSTILE, commit, entry, layers, measured, planted

MakeRun = Callable[[str], Run]


def series(case: Case, name: str) -> Series:
    return next(row for row in case.series if row.metric.name == name)


def value(
    number: float | None, name: str = "synops", better: str = "lower", timing: bool = False
) -> tuple[Metric, ...]:
    return (Metric(name, number, "SynOps", better, note="why", timing=timing),)  # type: ignore[arg-type]


def read(text: str) -> tuple[str, object]:
    """Name and value of a data file."""
    name, _, rest = text.removeprefix("take(").partition(",")
    return json.loads(name), json.loads(rest.removesuffix(");\n"))


def test_planted_changes_are_found_with_commit_and_layer() -> None:
    cases = {case.name.partition(",")[0]: case for case in cases_of(planted())}
    synops = series(cases["digits-relu"], "synops.per_inference")
    assert [c.start for c in synops.changes] == [34] and synops.status == WORSE
    entries = cases["digits-relu"].entries
    assert entries[34].commit == commit(34)
    assert moves(entries[33].layers, entries[34].layers)[0].layer == "conv2"
    slow = series(cases["fashion-cnn"], "time.simulate")
    assert [c.start for c in slow.changes] == [20] and slow.changes[0].status == WORSE
    assert slow.status == SAME, "20 commits ago is out of the window"
    assert series(cases["digits-tanh"], "snn.accuracy").status == BETTER
    assert all(not row.changes for row in cases["fashion-cnn"].series if row is not slow)


def test_a_commit_that_is_measured_again_keeps_its_place() -> None:
    rows = [entry(i, value(1.0 if i < 3 else 2.0)) for i in range(6)]
    again = replace(rows[1], made="2027-01-01T00:00:00+00:00", content="f" * 64)
    case = cases_of([again, *reversed(rows)])[0]
    assert [e.commit for e in case.entries] == [commit(i) for i in (0, 1, 1, 2, 3, 4, 5)]
    assert [c.start for c in case.series[0].changes] == [4]


def test_the_same_run_twice_is_one() -> None:
    rows = planted(4)
    assert data_files(cases_of(rows)) == data_files(cases_of([*rows, *rows]))


def test_values_that_come_and_go() -> None:
    for before, after, status in ((7.0, None, WORSE), (None, 7.0, BETTER), (None, None, SAME), (7.0, 7.0, SAME)):
        case = cases_of([entry(0, value(before)), entry(1, value(after))])[0]
        assert case.series[0].status == status
    assert cases_of([entry(0, value(1.0))])[0].series[0].status == UNKNOWN
    units = [entry(0, value(1.0)), entry(1, (Metric("synops", 1.0, "MACs", "lower"),))]
    assert cases_of(units)[0].series[0].changes[0].status == MOVED
    assert direction(1.0, 2.0, "neither") == MOVED


def test_times_of_two_machines_are_never_compared() -> None:
    jitter = [1 + 0.001 * (i * 7 % 10) for i in range(40)]
    one = [entry(i, value(10 * jitter[i], "t", timing=True)) for i in range(20)]
    two = [entry(i, value(20 * jitter[i], "t", timing=True), machine="two") for i in range(20, 40)]
    assert cases_of(one + two)[0].series[0].changes == ()
    same = [replace(e, machine="one") for e in two]
    assert [c.start for c in cases_of(one + same)[0].series[0].changes] == [20]
    few = cases_of(one + two[: SHORTEST - 1])[0].series[0]
    assert few.status == UNKNOWN and len(few.levels) == 2


def test_the_layer_that_moved_in_words() -> None:
    assert moved_most(layers(), layers()) == ()
    assert moved_most(layers(), layers(1.5))[0] == (
        "Layer conv2 moved most in SynOps: 4,000 -> 6,000 (+50.0 %), 100 % of all change."
    )


def test_changes_as_people_read_them() -> None:
    assert shift(1.0, 1.00001, "J") == "+0.0010 %"
    assert shift(0.5, 0.5, "fraction") == "" and shift(None, 1.0, "J") == "new"
    assert shift(0.912, 0.913, "R2") == "+0.001" and shift(-2.0, -3.0, "V") == "-50 %"


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = planted(20)
    for folder, order in (("a", rows), ("b", rows[::-1])):
        write_dashboard(order, tmp_path / folder, "t")
    files = [{p.relative_to(tmp_path / f): p.read_bytes() for p in (tmp_path / f).rglob("*.*")} for f in ("a", "b")]
    assert files[0] == files[1] and len(files[0]) > 10
    assert not any(b"://cdn" in text for path, text in files[0].items() if path.name != "plotly.min.js")


def test_the_overview_does_not_hold_the_histories() -> None:
    small, large = (data_files(cases_of(planted(n))) for n in (20, 200))
    assert len(large["index.js"]) < 1.3 * len(small["index.js"]) and len(large["index.js"]) < 20_000
    name, index = read(large["index.js"])
    assert name == "index" and isinstance(index, dict) and index["runs"] == 602
    assert {name.partition("-")[0] for name in large} == {"index.js", "cases", "metrics"}


def test_an_earlier_site_is_replaced_and_another_is_left_alone(tmp_path: Path) -> None:
    write_dashboard(planted(3), tmp_path)
    (tmp_path / "data" / "cases-zz.js").write_text("old")
    write_dashboard([entry(0, value(1.0))], tmp_path)
    assert {p.name for p in (tmp_path / "data").iterdir()} == {
        "index.js", f"metrics-{key_of('synops')[:2]}.js", f"cases-{key_of(entry(0, ()).case)[:2]}.js",
    }  # fmt: skip
    (tmp_path / "index.html").write_text("<h1>mine</h1>")
    with pytest.raises(ReportError, match="is no dashboard"):
        write_dashboard(planted(3), tmp_path)
    with pytest.raises(ReportError, match="empty history"):
        write_dashboard([], tmp_path / "new")


names = st.text(st.characters(codec="utf-8"), max_size=20)
hostile = names | st.sampled_from([HOSTILE, "</script>", "__proto__", "constructor", "\u2028"])


@settings(max_examples=40)
@given(hostile, hostile, hostile, st.floats(allow_nan=False, allow_infinity=False) | st.none())
def test_any_names_make_files_that_hold_them_as_text(name: str, unit: str, case: str, number: float | None) -> None:
    metric = Metric(name, number, unit or "?", "lower", note=name or "none")
    odd = ({"name": name, "synops": 10**400},)
    rows = [entry(i, (metric,), case=case, network=name, commit=f"{unit}{i}", layers=odd) for i in range(2)]
    for text in data_files(cases_of(rows)).values():
        assert text.isascii()
        read(text)


def test_the_command_line(make_run: MakeRun, tmp_path: Path) -> None:
    for i in range(2):
        (tmp_path / f"r{i}").mkdir()
        run = make_run("full")
        write_run(replace(run, environment={"git": {"commit": commit(i)}}), tmp_path / f"r{i}" / "run.json")
    command = ["reports", "dashboard", "--out", tmp_path / "site", "--runs"]
    done = python(*command, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Dashboard: {tmp_path / 'site' / 'index.html'}\n", "")
    refused = python(*command, tmp_path / "none")
    assert refused.returncode == 2 and "none" in refused.stderr and "Traceback" not in refused.stderr


def test_every_kind_of_run_has_a_place(any_run: Run, tmp_path: Path) -> None:
    assert write_dashboard([entry_of(any_run)], tmp_path).is_file()


def test_measured_metrics_have_what_the_page_needs() -> None:
    assert {m.name.split(".")[0] for m in measured(1.0, 0.9, 1.0)} == {"snn", "latency", "synops", "energy", "time"}
