"""`python -m evaluate leaderboard`: exit statuses, one clear message, the page of what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import python

QUICK = ("--networks", "digits-relu", "--methods", "rueckauer2017", "--steps", "2", "--limit", "20",
         "--calibration-samples", "30")  # fmt: skip


def test_a_table_a_run_file_and_its_page(tmp_path: Path) -> None:
    done = python("evaluate", "leaderboard", *QUICK, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "digits-relu, 20 samples; the ANN is right on" in done.stdout
    assert done.stdout.endswith(f"Run file: {tmp_path / 'run.json'}\n")
    page = python("reports", "render", tmp_path, "--format", "html")
    assert page.returncode == 0 and "rueckauer2017" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "options, message",
    [
        (("--networks", "digits-rel"), "did you mean digits-relu?"),
        (("--steps", "four"), "--steps: got 'four'"),
        (("--methods", "seed,nobody"), "--methods: got 'nobody'"),
        (("--limit", "-3"), "--limit: got -3"),
    ],
)
def test_what_cannot_be_is_refused_in_one_message(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = python("evaluate", "leaderboard", *options, "--out", tmp_path / "board")
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
