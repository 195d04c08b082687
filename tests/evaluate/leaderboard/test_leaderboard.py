"""The leaderboard: what is measured, kept, found again and assembled; a small converter stands in for the peers."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convert.config import ConvertConfig
from evaluate.contenders.methods import METHODS, Method
from evaluate.contenders.peers import peer_version
from evaluate.contenders.stepped import Stepped
from evaluate.errors import ConstantsError, LeaderboardError, PeerError
from evaluate.job import perform
from evaluate.leaderboard import worker
from evaluate.leaderboard.published import published_record
from evaluate.leaderboard.request import LeaderboardRequest, Unit
from evaluate.leaderboard.running import claim, make_leaderboard, workers
from evaluate.records import Run, read_run
from evaluate.request import Request

QUICK: dict[str, Any] = {"steps": (2, 8), "limit": 30, "calibration_samples": 30}


class IF(nn.Module):
    def __init__(self, threshold: Tensor) -> None:
        super().__init__()
        self.threshold, self.potential = threshold, torch.zeros(())

    def forward(self, charge: Tensor) -> Tensor:
        self.potential = self.potential + charge
        spikes = (self.potential >= self.threshold) * self.threshold
        self.potential = self.potential - spikes
        return spikes


def plain_if(module: nn.Module, calibration: Tensor) -> Stepped:
    """Largest activation of each layer, start at zero: what `ConvertConfig` can do as well."""
    layers, x = [], calibration
    for part in deepcopy(module):
        x = part(x).detach()
        layers.append(IF(x.max()) if isinstance(part, nn.ReLU) else part)
    network = nn.Sequential(*layers)

    def begin(batch: int) -> None:
        for part in network:
            if isinstance(part, IF):
                part.potential = torch.zeros(())

    return Stepped(network, IF, begin)


def refuses(module: nn.Module, calibration: Tensor) -> Stepped:
    raise RuntimeError("no\nthanks")


def keeps_quiet(module: nn.Module, calibration: Tensor) -> Stepped:
    raise PeerError("it leaves Tanh as it is: not a spiking network")


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, make in (("plain-if", plain_if), ("refuses", refuses), ("keeps-quiet", keeps_quiet)):
        monkeypatch.setitem(METHODS, name, Method("torch", make, name))


class Silent:
    """Nobody watches."""

    def known(self, cells: int, of: int) -> None: ...

    def begin(self, number: int, label: str) -> Callable[[str, int, int], None]:
        return lambda what, done, total: None

    def end_unit(self, number: int, unit: Unit, failure: str) -> None: ...


def made(folder: Path, *methods: str, networks: tuple[str, ...] = ("digits-relu",), **options: Any) -> Run:
    request = LeaderboardRequest(networks, methods, **{**QUICK, **options})
    return make_leaderboard(request, claim(folder), Silent())


def rows(run: Run, method: str) -> list[dict[str, Any]]:
    return [row for row in run.curves["cells"] if row["method"] == method]


@pytest.mark.usefixtures("peers")
def test_a_peer_is_measured_and_priced_as_we_are(tmp_path: Path) -> None:
    theirs = rows(made(tmp_path, "plain-if"), "plain-if")[1]
    config = ConvertConfig(neuron="if", rule="max", granularity="layer", v_threshold=1.0, potential_steps=0)
    run, _ = perform(Request("zoo:digits-relu", config, steps=(8,), limit=30, calibration_samples=30))
    assert theirs["accuracy"][0] == pytest.approx(run.metric("snn.accuracy").value, abs=1 / 30)
    assert theirs["spikes_per_neuron"] == pytest.approx(run.metric("spikes.per_neuron").value, rel=0.01)
    assert theirs["energy_j"][0] == pytest.approx(run.metric("energy.snn_j").value, rel=0.01)
    assert theirs["latency_steps"] == 8 + 1 and theirs["calibration_samples"] == 30


@pytest.mark.usefixtures("peers")
def test_refusals_and_silence_are_results(tmp_path: Path) -> None:
    run = made(tmp_path, "refuses", "keeps-quiet", "huang2025-differential", networks=("digits-tanh",))
    assert [r["refused"] for r in rows(run, "refuses")] == 2 * ["RuntimeError: no thanks"]
    assert all(r["silent"] for r in rows(run, "keeps-quiet")) and not rows(run, "refuses")[0]["silent"]
    assert rows(run, "huang2025-differential")[0]["refused"].startswith("--code differential: got")
    assert not run.metrics


def test_what_is_on_disk_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(tmp_path, "rueckauer2017")
    asked: list[Unit] = []
    measure: Callable[..., Any] = worker.measure_ours
    monkeypatch.setattr(worker, "measure_ours", lambda unit, *rest: (asked.append(unit), measure(unit, *rest))[1])
    again = made(tmp_path, "rueckauer2017")
    assert not asked and again.curves == first.curves and again.metrics == first.metrics
    made(tmp_path, "rueckauer2017", steps=(2, 4, 8))
    assert [unit.steps for unit in asked] == [(4,)], "a larger leaderboard takes over what a smaller one has measured"
    made(tmp_path, "rueckauer2017", limit=20)
    assert [unit.steps for unit in asked[1:]] == [(2, 8)], "other samples are other results; one network serves both T"
    next((tmp_path / "cells").glob("*.T2.*.json")).write_text("{")
    for path in (tmp_path / "cells").glob("*.T8.*.json"):
        path.unlink()
    assert made(tmp_path, "rueckauer2017").curves["cells"][1]["accuracy"] == first.curves["cells"][1]["accuracy"]


def test_an_interruption_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure: Callable[..., Any] = worker.measure_ours

    def interrupted(unit: Unit, *rest: Any) -> Any:
        if unit.steps == (8,):
            raise KeyboardInterrupt
        return measure(unit, *rest)

    monkeypatch.setattr(worker, "measure_ours", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, "li2021-light")
    run = read_run(tmp_path)
    assert len(run.curves["cells"]) == 1 and run.notes == ("Unfinished: 1 of 2 cells were measured.",)


def test_the_best_of_a_column_is_marked_and_numbers_are_metrics(tmp_path: Path) -> None:
    run = made(tmp_path, "rueckauer2017", "multi-threshold", "radix", steps=(2,))
    cells = run.curves["cells"]
    top = max(cell["accuracy"][0] for cell in cells)
    assert [cell["best"] for cell in cells] == [cell["accuracy"][0] == top for cell in cells]
    assert not any(cell["best"] and cell["as_good"] for cell in cells)
    name = "[digits-relu; multi-threshold; T=2]"
    assert run.metric(f"accuracy{name}").samples == 30 and run.metric(f"time.ratio{name}").timing
    radix = rows(run, "radix")[0]
    assert radix["latency_steps"] == radix["steps_run"] == 2 * 2, "a period for each population"
    assert read_run(tmp_path).to_json() == run.to_json()


def test_workers_give_the_same_cells_and_what_takes_too_long_is_a_result(tmp_path: Path) -> None:
    methods = ("li2021-light", "rueckauer2017")
    alone = made(tmp_path / "alone", *methods)
    request = LeaderboardRequest(("digits-relu",), methods, **QUICK)
    with workers(1, 300) as pool:
        shared = make_leaderboard(request, claim(tmp_path / "shared"), Silent(), pool)
    clock = {"convert_s", "time_ratio", "peak_bytes", "cpu_s"}
    assert [{k: v for k, v in cell.items() if k not in clock} for cell in shared.curves["cells"]] == [
        {k: v for k, v in cell.items() if k not in clock} for cell in alone.curves["cells"]
    ]
    assert shared.environment["cpu_s"] == pytest.approx(sum(cell["cpu_s"] for cell in shared.curves["cells"]), abs=0.1)
    request = LeaderboardRequest(("digits-relu",), ("rueckauer2017",), **QUICK)
    with workers(1, 0.01) as pool:
        late = make_leaderboard(request, claim(tmp_path / "late"), Silent(), pool).curves["cells"]
        assert make_leaderboard(request, claim(tmp_path / "late"), Silent(), pool).curves["cells"] == late
    assert {cell["refused"] for cell in late} == {"not finished in 0.01 s"} and len(late) == 2
    assert not any("refused" in cell for cell in made(tmp_path / "late", "rueckauer2017").curves["cells"]), (
        "more patience"
    )


def test_a_recipe_that_fits_nothing_to_t_is_one_unit_and_reads_the_same_at_each(tmp_path: Path) -> None:
    request = LeaderboardRequest(("digits-relu",), ("seed", "bu2025-ltb", "exact", "radix"), (4, 8, 16))
    steps = {m: [u.steps for u in request.units() if u.method == m] for m in request.methods}
    assert steps["bu2025-ltb"] == [(4, 8, 16)] and steps["seed"] == steps["exact"] == [(4,), (8,), (16,)]
    assert steps["radix"] == [(4,), (8,)]
    together = rows(made(tmp_path / "together", "diehl2015"), "diehl2015")
    alone = rows(made(tmp_path / "alone", "diehl2015", steps=(2,)), "diehl2015")
    for name in ("accuracy", "agreement", "spikes_per_neuron", "synops", "energy_j", "latency_steps", "steps_run"):
        assert together[0][name] == alone[0][name], name


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"networks": ("digits-rel",)}, "did you mean digits-relu"),
        ({"methods": ("sed",)}, "did you mean seed"),
        ({"methods": ()}, "--methods: got none"),
        ({"steps": (8, 4)}, "--steps: got"),
        ({"steps": ()}, "--steps: got"),
        ({"limit": 0}, "--limit: got 0"),
        ({"seed": -1}, "--seed: got -1"),
        ({"methods": ("radix",), "steps": (16,)}, "for radix alone"),
    ],
)
def test_what_cannot_be_is_refused_at_once(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LeaderboardError, match=message):
        LeaderboardRequest(**{"networks": ("digits-relu",), "methods": ("seed",), **changes})


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(LeaderboardError, match="holds other files"):
        claim(tmp_path)


def test_published_figures_all_have_a_source_and_are_percentages(tmp_path: Path) -> None:
    found = published_record()
    assert len(found) >= 20 and all(row["source"] for row in found)
    assert all(0 < value < 100 and int(t) > 0 for row in found for t, value in row["accuracy"].items())
    assert json.dumps(found)
    broken = tmp_path / "published.toml"
    broken.write_text('[[figure]]\nmethod = "x"\nvenue = "y"\n')
    with pytest.raises(ConstantsError, match=r"row 1 lacks data, .*source"):
        published_record(broken)


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> str:
    if peer_version(METHODS[request.param].distribution) is None:
        pytest.skip(f"{METHODS[request.param].distribution} is not installed")
    return str(request.param)


@pytest.mark.filterwarnings("ignore")
def test_an_installed_peer_reaches_the_ann(method: str, tmp_path: Path) -> None:
    cell = rows(made(tmp_path, method, steps=(64,), limit=60, calibration_samples=200), method)[0]
    assert cell["accuracy"][0] >= cell["ann_accuracy"][0] - 3 / 60 and cell["energy_j"][0] > 0
