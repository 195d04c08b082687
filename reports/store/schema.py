"""The tables of a store. Texts compare by their bytes, so that both databases sort alike."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

__all__ = ["VERSION", "layers", "metadata", "metrics", "runs", "versions"]

VERSION = 1
"""Of the tables below."""

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
    Column("document", LargeBinary, nullable=False),
)
"""One row a run: the fields of `reports.history.Entry`, and the whole run as compressed JSON."""
Index("runs_by_time", runs.c.made, runs.c.content)

metrics = Table(
    "metrics",
    metadata,
    Column("content", _text, ForeignKey("runs.content", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", _text, nullable=False),
    Column("value", Float),
    Column("unit", _text, nullable=False),
    Column("better", _text, nullable=False),
    Column("samples", Integer),
    Column("low", Float),
    Column("high", Float),
    Column("note", _text, nullable=False),
    Column("timing", Boolean, nullable=False),
    Column("observations", _text, nullable=False),
)

layers = Table(
    "layers",
    metadata,
    Column("content", _text, ForeignKey("runs.content", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("row", _text, nullable=False),
)
