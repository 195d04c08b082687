"""The tables of a store. Texts compare by their bytes, so that both databases sort alike."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

__all__ = ["VERSION", "documents", "metadata", "runs", "versions"]

VERSION = 2
"""Of the tables below; `reports.store.migrations` knows the older ones."""

metadata = MetaData()
_text = Text().with_variant(Text(collation="C"), "postgresql")

versions = Table("run_store", metadata, Column("version", Integer, nullable=False))
"""One row. Its name tells a store of runs from the tables of other programs."""

runs = Table(
    "runs",
    metadata,
    Column("content", _text, primary_key=True),
    *(
        Column(name, _text, nullable=False)
        for name in ("run", "case", "commit", "made", "network", "recipe", "neuron", "data")
    ),
    Column("light", LargeBinary, nullable=False),
)
"""One row a run: the fields of `reports.history.Entry`, its metrics and layers together as compressed JSON.

Rows of their own for each metric and layer, as in version 1, took 1.6 times the processor time to read and 1.5 times
the space (2,000 runs of 30 metrics and 10 layers, SQLite).
"""
Index("runs_by_time", runs.c.made, runs.c.content)

documents = Table(
    "documents",
    metadata,
    Column("content", _text, ForeignKey("runs.content", ondelete="CASCADE"), primary_key=True),
    Column("document", LargeBinary, nullable=False),
)
"""The whole run as compressed JSON. All else follows from it; apart from `runs`, so that a history skips it."""
