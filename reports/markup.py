"""Markdown from text that was written by others: tables, cells, running text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from reports.fields import plain
from reports.quantities import UNMEASURED

__all__ = ["cell", "prose", "sentence", "table"]


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A Markdown table of `rows`, empty without rows; columns of numbers stand on the right.

    >>> print(table(["a", "b"], [["one", "x|y"]]))
    | a   | b    |
    |:----|:-----|
    | one | x\|y |
    """
    cells = [[cell(value) for value in row] for row in rows]
    if not cells:
        return ""
    sides = ["right" if _is_numeric(column) else "left" for column in zip(*cells, strict=True)]
    return str(tabulate(cells, list(headers), tablefmt="pipe", disable_numparse=True, colalign=sides))


def _is_numeric(column: Sequence[str]) -> bool:
    """Whether every cell that is not empty starts like a number, and there is one."""
    starts = {value.lstrip("*+-")[:1] for value in column if value and value != UNMEASURED}
    return bool(starts) and all(start.isdigit() for start in starts)


def cell(value: str) -> str:
    """`value` on one line, without what would end the cell or open a tag."""
    return plain(value).replace("|", r"\|").replace("<", "&lt;")


def prose(sentence: str) -> str:
    r"""A sentence of the run as running text: no tag is opened, no link is made.

    >>> print(prose("a <b> [c]"))
    a &lt;b> \[c]
    """
    return sentence.replace("<", "&lt;").replace("[", r"\[")


def sentence(words: str) -> str:
    """`words` with a capital first letter, the others as they are."""
    return words[:1].upper() + words[1:]
