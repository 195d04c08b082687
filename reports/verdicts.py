"""A gate told: Markdown for a pull request, JUnit for a build server, lines for a terminal."""

from __future__ import annotations

from xml.etree import ElementTree

from reports.fields import plain
from reports.gate import FAIL, NOT_ENOUGH, PASS, Gate, Verdict
from reports.markup import prose, table
from reports.quantities import reading

__all__ = ["headline", "junit", "markdown", "regressions"]

_ORDER = {FAIL: 0, NOT_ENOUGH: 1, PASS: 2}


def headline(gate: Gate) -> str:
    """The decision and the counts, in one sentence."""
    counts = {name: sum(v.decision == name for v in gate.verdicts) for name in _ORDER}
    cases = len({v.case for v in gate.verdicts})
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    return f"Gate: {gate.decision}; {told}, over {cases} case{'s' * (cases != 1)}"


def markdown(gate: Gate) -> str:
    """A comment: the sentence, what is not a pass, and the rest folded away."""
    lines = [f"**{headline(gate)}**", ""]
    for case in dict.fromkeys(v.case for v in gate.verdicts):
        rows = sorted((v for v in gate.verdicts if v.case == case), key=lambda v: _ORDER[v.decision])
        loud = [v for v in rows if v.decision != PASS]
        lines += [f"### {prose(case)}", "", *(f"- {prose(plain(said))}" for said in gate.remarks.get(case, ()))]
        lines += ["", _rows(loud), ""] if loud else ["", "Nothing got worse.", ""]
        quiet = [v for v in rows if v.decision == PASS]
        if quiet:
            lines += [f"<details><summary>{len(quiet)} pass</summary>", "", _rows(quiet), "", "</details>", ""]
    return "\n".join(lines)


def _rows(verdicts: list[Verdict]) -> str:
    return table(
        ["decision", "metric", "base", "head", "change", "why"],
        ([v.decision, f"`{v.metric}`", *_ends(v), _change(v), v.why] for v in verdicts),
    )


def _ends(verdict: Verdict) -> tuple[str, str]:
    ends = [reading(m) if m else "" for m in (verdict.base, verdict.head)]
    return ends[0], ends[1]


def _change(verdict: Verdict) -> str:
    return "" if verdict.change is None else f"{100 * verdict.change:+.2f} %" if verdict.change else "none"


def junit(gate: Gate) -> str:
    """JUnit XML: a suite for each case; what could not be decided is skipped, as that is no failure and no pass."""
    root = ElementTree.Element("testsuites", name="ann2spike gate")
    for case in dict.fromkeys(v.case for v in gate.verdicts):
        rows = [v for v in gate.verdicts if v.case == case]
        counts = {name: str(sum(v.decision == name for v in rows)) for name in _ORDER}
        suite = ElementTree.SubElement(root, "testsuite", name=plain(case), tests=str(len(rows)),
                                       failures=counts[FAIL], skipped=counts[NOT_ENOUGH], errors="0")  # fmt: skip
        for row in rows:
            test = ElementTree.SubElement(suite, "testcase", classname=plain(case), name=plain(row.metric))
            if row.decision != PASS:
                kind = "failure" if row.decision == FAIL else "skipped"
                ElementTree.SubElement(test, kind, message=plain(row.why))
    ElementTree.indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ElementTree.tostring(root, encoding='unicode')}\n"


def regressions(gate: Gate) -> str:
    """One line for each failure, tabs between case, metric, base, head and reason; empty where there is none."""
    rows = ((v.case, v.metric, *_ends(v), v.why) for v in gate.verdicts if v.decision == FAIL)
    return "".join("\t".join(map(plain, row)) + "\n" for row in rows)
