"""Measured joules: counters that wrap around, that may not be read, that are not there."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from convert.recipes import recipe
from evaluate.energy.meters import ABSENT, METRIC, Meter, Rapl, counters, simulation_metric
from evaluate.job import perform
from evaluate.request import Request


def package(powercap: Path, number: str, energy_uj: int, name: str = "package-0") -> Path:
    folder = powercap / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text("1000000\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder


def test_a_package_is_counted_in_joules(tmp_path: Path) -> None:
    folder = package(tmp_path, "0", 250_000)
    (found,) = counters("cpu", tmp_path)
    assert (found.name, found.read_j(), found.wraps_at_j) == ("RAPL package-0", 0.25, 1.0)
    meter = Meter((found,))
    with meter.running():
        (folder / "energy_uj").write_text("400000")
    assert meter.joules == pytest.approx({"RAPL package-0": 0.15})


def test_a_counter_that_begins_again_is_followed(tmp_path: Path) -> None:
    folder = package(tmp_path, "0", 900_000)
    meter = Meter(counters("cpu", tmp_path))
    with meter.running():
        (folder / "energy_uj").write_text("100000")
    with meter.running():
        (folder / "energy_uj").write_text("300000")
    assert meter.joules == pytest.approx({"RAPL package-0": 0.4})


def test_domains_inside_a_package_are_not_counted_twice(tmp_path: Path) -> None:
    package(tmp_path, "0", 1)
    package(tmp_path, "0:0", 1, "core")
    package(tmp_path, "1", 1, "package-1")
    assert [found.name for found in counters("cpu", tmp_path)] == ["RAPL package-0", "RAPL package-1"]


@pytest.mark.parametrize("content", ["", "much", None])
def test_a_counter_that_cannot_be_read_is_absent(tmp_path: Path, content: str | None) -> None:
    file = package(tmp_path, "0", 1) / "energy_uj"
    file.unlink()
    if content is not None:
        file.write_text(content)
    assert counters("cpu", tmp_path) == ()


def test_a_graphics_card_is_counted_where_it_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([5_000, 5_000, 7_500])
    fake = SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(readings),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    assert counters("cpu", tmp_path) == ()
    meter = Meter(counters("cuda", tmp_path))
    with meter.running():
        pass
    assert meter.joules == {"NVML GPU 0": 2.5}


def test_without_the_library_there_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert counters("cuda", tmp_path) == ()


def test_measured_joules_are_called_a_measurement_of_the_simulation(tmp_path: Path) -> None:
    found = simulation_metric({"RAPL package-0": 30.0}, 200)
    assert found.value == pytest.approx(0.15) and found.timing and found.samples == 200
    assert found.note.startswith("measured: RAPL package-0 30 J") and "not what any modelled chip costs" in found.note
    none = simulation_metric({}, 200)
    assert none.value is None and none.note == ABSENT == "not measured: no RAPL or NVML here"


@pytest.mark.parametrize("name", ["seed", "exact", "radix"])
def test_a_run_measures_its_simulation_where_it_can(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("zoo:digits-relu", recipe(name).config(), "digits", steps=(2,), limit=20, calibration_samples=50)
    for at_hand, measured in ((False, False), (True, True)):
        source = _Ticking(package(tmp_path / str(at_hand), "0", 0))
        monkeypatch.setattr("evaluate.job.counters", lambda device, s=source, on=at_hand: (s,) if on else ())
        found = perform(request)[0].metric(METRIC)
        assert (found.value is not None) == measured
        assert not measured or found.value == pytest.approx(0.001 / 20), "one batch, two readings"


class _Ticking(Rapl):
    """A counter that counts a millijoule between two readings."""

    ticks = 0

    def read_j(self) -> float:
        type(self).ticks += 1
        return self.ticks * 0.001
