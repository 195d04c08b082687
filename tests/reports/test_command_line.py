"""`python -m reports`: exit statuses, one clear message, and no torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluate.records import Run, write_run
from tests.commands import python

ROOT = Path(__file__).parents[2]

MakeRun = Callable[[str], Run]


def test_render_writes_the_report_and_prints_the_summary(make_run: MakeRun, tmp_path: Path) -> None:
    write_run(make_run("full"), tmp_path / "run.json")
    done = python("reports", "render", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Energy verdict" in done.stdout
    assert done.stdout.endswith(f"Report: {tmp_path / 'report.md'}\n")
    assert (tmp_path / "efficiency.png").exists()


def test_out_names_another_folder(make_run: MakeRun, tmp_path: Path) -> None:
    write_run(make_run("bare"), tmp_path / "run.json")
    done = python("reports", "render", tmp_path / "run.json", "--out", tmp_path / "pages")
    assert done.returncode == 0
    assert (tmp_path / "pages" / "report.md").exists() and not (tmp_path / "report.md").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("no json", "not a run file"),
        ('{"schema": "ann2spike.run/99"}', "schema is 'ann2spike.run/99'"),
        ('{"schema": "ann2spike.run/1", "metrics": []}', "damaged run file"),
    ],
)
def test_bad_input_is_refused_in_one_line(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    done = python("reports", "render", path)
    assert done.returncode == 2
    assert done.stderr.startswith("reports: ") and message in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    write_run(make_run("bare"), tmp_path / "run.json")
    done = python("reports", "render", tmp_path, "--out", tmp_path / "run.json")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr and "--out" in done.stderr and "Traceback" not in done.stderr


def test_help_shows_examples() -> None:
    done = python("reports", "render", "--help")
    assert done.returncode == 0
    assert "python -m reports render out/run.json --out pages/" in done.stdout


def test_reports_needs_no_torch() -> None:
    script = "import sys, reports.__main__; print(*(m in sys.modules for m in ('torch', 'matplotlib.pyplot')))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "False"], done.stderr
