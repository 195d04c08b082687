"""Which runs are meant: filters as conditions, in the order of time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict

from sqlalchemy import ColumnElement, Select, func, select

from reports.errors import ReportError
from reports.store.schema import runs

__all__ = ["Filters", "chosen", "instant", "starts"]


class Filters(TypedDict, total=False):
    """What `Store.entries` and `Store.runs` are narrowed by; what is None or left out does not narrow."""

    key: str | None
    """The whole key of one run."""
    network: str | None
    recipe: str | None
    neuron: str | None
    case: str | None
    """A part of the name of the case, in small or capital letters."""
    commit: str | None
    """Its first characters."""
    since: str | None
    """ISO 8601; a date alone means its midnight, and a time without a zone is UTC."""
    last: int | None
    """So many of the newest."""


def chosen(filters: Filters, *columns: Any) -> Select[Any]:
    """`columns` of the runs that `filters` leave, the oldest first.

    Raises
    ------
    ReportError
        A filter that cannot be understood.
    """
    conditions: list[ColumnElement[bool]] = []
    exact = {"key": runs.c.content, "network": runs.c.network, "recipe": runs.c.recipe, "neuron": runs.c.neuron}
    for name, column in exact.items():
        if (value := filters.get(name)) is not None:
            conditions.append(column == value)
    if (part := filters.get("case")) is not None:
        conditions.append(runs.c.case.icontains(part, autoescape=True))
    if (commit := filters.get("commit")) is not None:
        conditions.append(starts(runs.c.commit, commit))
    if (since := filters.get("since")) is not None:
        conditions.append(runs.c.made >= instant(since))
    wanted = select(*columns).where(*conditions)
    if (last := filters.get("last")) is None:
        return wanted.order_by(runs.c.made, runs.c.content)
    if last < 1:
        raise ReportError(f"last: got {last}; expected 1 or more")
    newest = select(runs.c.content).where(*conditions).order_by(runs.c.made.desc(), runs.c.content.desc()).limit(last)
    return select(*columns).where(runs.c.content.in_(newest)).order_by(runs.c.made, runs.c.content)


def starts(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Whether `column` starts with `prefix`; LIKE would ignore capitals in one database and not in the other."""
    return func.substr(column, 1, len(prefix)) == prefix


def instant(time: str) -> str:
    """A point in time as run files write it, so that texts compare like times.

    >>> instant("2026-11-30"), instant("2026-11-30T10:00+02:00")
    ('2026-11-30T00:00:00+00:00', '2026-11-30T08:00:00+00:00')
    """
    try:
        found = datetime.fromisoformat(time)
    except ValueError:
        raise ReportError(f"since: got {time!r}; expected a time such as 2026-11-30 or 2026-11-30T10:00") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
