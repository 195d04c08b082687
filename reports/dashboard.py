"""write_dashboard(): a history as a static site that opens from a file system, without a server and without a network.

    index.html  style.css  *.js          the page, its style (the report's sheet first) and its script
    plotly.min.js                        from the installed library; read only when a chart is shown
    data/index.js, metrics-*.js, cases-*.js

The same history gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from reports.datafiles import data_files
from reports.errors import ReportError
from reports.history import Entry
from reports.pages import write_text
from reports.series import cases_of

__all__ = ["SCRIPTS", "write_dashboard"]

SCRIPTS = ("page.js", "overview.js", "history.js", "compare.js", "routes.js")
"""In the order in which the page loads them."""

_MARK = '<meta name="generator" content="ann2spike dashboard">'


def write_dashboard(entries: Sequence[Entry], out: Path, title: str = "") -> Path:
    """Write the site of a history into the folder `out`, over an earlier one.

    Returns
    -------
    Path
        Its first page.

    Raises
    ------
    ReportError
        There is nothing to show, `out` holds another site, or it cannot be written.
    """
    if not entries:
        raise ReportError("dashboard: got an empty history; expected at least one run; add one first")
    page = out / "index.html"
    if page.exists() and _MARK not in page.read_text(encoding="utf-8", errors="replace"):
        raise ReportError(f"{page}: is there and is no dashboard; name another folder with --out")
    site = {**_assets(), **{f"data/{name}": text for name, text in data_files(cases_of(entries), title).items()}}
    for name, content in site.items():
        _write(out / name, content)
    _write(page, _template("index.html"))
    for old in set((out / "data").glob("*.js")) - {out / name for name in site}:
        old.unlink()
    return page


def _write(path: Path, content: str) -> None:
    """Write what is not already there, so that a live view changes little."""
    try:
        if path.read_text(encoding="utf-8") == content:
            return
    except (OSError, UnicodeDecodeError):
        pass
    write_text(path, content)


def _assets() -> dict[str, str]:
    from plotly.offline import get_plotlyjs  # slow to import: not for the other commands

    style = "\n".join((_template("style.css", "templates"), _template("dashboard.css")))
    return {"style.css": style, "plotly.min.js": get_plotlyjs(), **{name: _template(name) for name in SCRIPTS}}


def _template(name: str, folder: str = "templates/dashboard") -> str:
    return (files("reports") / folder / name).read_text(encoding="utf-8")
