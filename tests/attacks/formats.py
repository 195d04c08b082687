"""Writers of honest files in every format of torch, and what becomes of a broken one."""

from __future__ import annotations

import io
import zipfile

import safetensors.torch
import torch

from convert.errors import ConvertError
from convert.graph import ir
from convert.graph.semantics import run
from convert.reading.hints import Hints
from convert.reading.models import open_model

FLIPS = 200


def save_export(net, path):
    torch.export.save(torch.export.export(net, (torch.zeros(1, 6),)), str(path))


WRITERS = {
    "pt2": save_export,
    "state_dict": lambda net, path: torch.save(net.state_dict(), path),
    "old state_dict": lambda net, path: torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False),
    "module": lambda net, path: torch.save(net, path),
    "safetensors": lambda net, path: safetensors.torch.save_file(net.state_dict(), path),
}
WEIGHTS = ("state_dict", "old state_dict", "safetensors")


def written(kind, net, path):
    WRITERS[kind](net, path)
    return path.read_bytes()


def outcome(path, kind, hints=None):
    """The error, or None for a network that is finite."""
    hints = hints or (Hints(activation="relu") if kind in WEIGHTS else Hints())
    try:
        graph = open_model(path, hints=hints).traced((6,)).graph
    except ConvertError as error:
        message = str(error)
        assert "Traceback" not in message
        assert len(message) < 3000
        return error
    assert torch.isfinite(run(graph, torch.zeros(2, 6))).all()
    assert all(torch.isfinite(t).all() for node in graph for t in ir.tensors(node.op).values())
    return None


def repacked(data, path, change):
    """The archive with every member passed through `change(name, content) -> content or None`."""
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return path


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.namelist()
