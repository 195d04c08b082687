"""assemble_benchmark(): the records of the cases as a run file.

Every number is a metric, named after what it is and, in brackets, after the case. Those that came from a clock are
marked as timings and bring their single values, a value for each round. The rows of ``curves["cases"]`` and
``curves["contestants"]`` say which metric belongs where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from evaluate.benchmarks.contestants import ANN, config_of
from evaluate.benchmarks.request import BenchmarkRequest, Case
from evaluate.benchmarks.rounds import SHORTEST_S, ratios
from evaluate.contenders.peers import PEERS, peer_version
from evaluate.environment import environment
from evaluate.records import BENCHMARK, Metric, Run, content_hash
from evaluate.statistics import median_interval

__all__ = ["assemble_benchmark"]

_BUSY = 0.9
"""Processors in use, however many threads there are, below which something else was in the way."""

_UNSTEADY = 1.5
"""Upper over lower end of the interval of the ANN's time above which a case is not to be trusted."""

_METHOD = (
    "Every case ran in a process of its own, with as many threads as stated (OMP_NUM_THREADS and torch): torch's idle "
    "workers spin, and a process that has used two threads is a biased place to measure one.",
    "Within it, contestants were timed in turn, once a round, and each round began with another one. Calls shorter "
    f"than {1000 * SHORTEST_S:g} ms were repeated within a timing. All got the same samples, steps and batch, without "
    "gradients.",
    "ratio: a contestant's time (wall clock) over that of the ANN's forward pass in the same round; the median over "
    "the rounds. cpu_ratio: the same in processor time, which other processes disturb less; idle workers that spin "
    "count. Intervals of medians are those of order statistics (David and Nagaraja 2003, section 7.1), 95 % from six "
    "rounds on, with fewer the whole range; they say how sure the median is in this process on this machine, not how "
    "far another machine would differ.",
    "The ANN is the network as it came: its batch norms are not folded, nothing is compiled.",
    "Of a peer with several modes the fastest was taken, by trials before the rounds. Its accuracy is not compared. "
    "Peers set thresholds of their own and are left out where ours are scaled.",
    "The firing rate is spikes per neuron and step, the mean over all neurons that spike; the input is a constant "
    "current and is not counted. Time follows it, so a ratio without its rate says nothing.",
)


def assemble_benchmark(request: BenchmarkRequest, records: Sequence[dict[str, Any]], asked: int) -> Run:
    """The run of the cases measured so far.

    Parameters
    ----------
    records : sequence of dict
        From `measure_case`; or a case with ``failed``, the reason why it could not be measured.
    asked : int
        How many cases there were to be.
    """
    rows = [_CaseRows(record) for record in records if "failed" not in record]
    failed = [record for record in records if "failed" in record]
    environ = environment()
    options = request.as_record()
    identity = {"kind": BENCHMARK, "config": options, "code": environ.get("git") or environ["packages"]}
    notes = [f"{record['label']}: could not be measured: {record['failed']}" for record in failed]
    if len(records) < asked:
        notes.append(f"Unfinished: {len(records)} of {asked} cases were measured.")
    notes += [note for row in rows for note in row.notes()]
    return Run(
        id=content_hash(identity),
        case={
            "kind": BENCHMARK,
            "config": options,
            "conversion": config_of(request.neuron).as_record(),
            "command": request.command,
        },
        metrics=tuple(metric for row in rows for metric in row.metrics()),
        curves={
            "cases": [row.as_row() for row in rows],
            "contestants": [line for row in rows for line in row.contestants()],
        },
        layers=(),
        assumptions={"method": list(_METHOD)},
        environment=environ | {"torch_threads": None, "peers": {name: peer_version(name) for name in PEERS}},
        notes=tuple(notes),
    )


class _CaseRows:
    """One case as metrics and rows."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self.case = Case(**{name: record[name] for name in Case.__dataclass_fields__})
        self.found: dict[str, dict[str, Any]] = record["contestants"]

    def as_row(self) -> dict[str, Any]:
        """The case with what is known of its network."""
        left_out = ("contestants", "refusals")
        return {"label": self.case.label, **{k: v for k, v in self.record.items() if k not in left_out}}

    def contestants(self) -> Iterator[dict[str, Any]]:
        """A row for each contestant, with the names of its metrics; those that refused last."""
        clocks = ("wall_s", "cpu_s", "trials_s")
        for name, found in self.found.items():
            facts = {key: value for key, value in found.items() if key not in clocks}
            metrics = {"seconds": self._name("seconds", name)}
            if name != ANN:
                metrics |= {what: self._name(what, name) for what in ("ratio", "cpu_ratio", "rate")}
                metrics |= {"speedup": self._name("speedup", name)} if self._against(name) else {}
            yield {"case": self.case.label, "contestant": name, "metrics": metrics, **facts}
        for name, message in self.record["refusals"].items():
            yield {"case": self.case.label, "contestant": name, "refused": message}

    def metrics(self) -> Iterator[Metric]:
        """Seconds and ratios of all, rates, and how many times as long as our fastest engine each peer takes."""
        ann = self.found[ANN]
        for name, found in self.found.items():
            yield _timing(self._name("seconds", name), found["wall_s"], "s", "of one pass over the batch")
            if name == ANN:
                continue
            over, used = (ratios(found[clock], ann[clock]) for clock in ("wall_s", "cpu_s"))
            yield _timing(self._name("ratio", name), over, "ANN passes", "time over the ANN's forward pass")
            yield _timing(
                self._name("cpu_ratio", name), used, "ANN passes", "the same in processor time of all threads"
            )
            yield Metric(self._name("rate", name), found["rate"], "spikes per neuron and step", "neither",
                         self.case.batch)  # fmt: skip
            if ours := self._against(name):
                faster = ratios(found["wall_s"], self.found[ours]["wall_s"])
                yield _timing(self._name("speedup", name), faster, "times", f"{name} over {ours}", better="higher")

    def _against(self, name: str) -> str | None:
        """Our fastest engine, which the peer `name` is compared with; None for what is no peer."""
        engines = [known for known in self.found if known not in PEERS and known != ANN]
        return min(engines, key=lambda e: median(self.found[e]["wall_s"])) if engines and name in PEERS else None

    def notes(self) -> Iterator[str]:
        """That something else was using the processor."""
        slowest = min(found["cores"] for found in self.found.values())
        if slowest < _BUSY:
            yield (
                f"{self.case.label}: the machine was busy: a contestant had the processor for {slowest:.0%} of the time"
            )
        span = median_interval(self.found[ANN]["wall_s"])
        if span.low > 0 and span.high > _UNSTEADY * span.low:
            low, high = (f"{1000 * end:,.1f}" for end in (span.low, span.high))
            yield f"{self.case.label}: unsteady, the ANN itself took {low} to {high} ms; measure on an idle machine"

    def _name(self, what: str, contestant: str) -> str:
        return f"{'' if what == 'rate' else 'time.'}{what}[{contestant}; {self.case.label}]"


def _timing(name: str, values: Sequence[float], unit: str, note: str, better: str = "lower") -> Metric:
    """The median of `values` with its interval, marked as a timing."""
    span = median_interval(values)
    low, high = span.low, span.high
    said = f"{note}; median of {len(values)} rounds, interval {span.confidence:.0%}"
    direction: Any = better
    return Metric(name, median(values), unit, direction, len(values), low, high, said, True, tuple(values))
