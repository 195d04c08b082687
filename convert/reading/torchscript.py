"""TorchScript archives, which loading executes: only behind --trust.

torch's own converter turns the script into the ATen calls that every other format gives; then the graph is compared
with the script itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from convert.errors import ConvertError, CorruptFileError, LoadError, UnsafeFileError
from convert.reading.archive import refuse_hostile_archive
from convert.reading.captured import capture, quiet
from convert.reading.sources import Source
from convert.reading.storages import refuse_short_storages
from convert.reading.tracing import Traced, accepted_batch, read_captured
from convert.reading.weights import rounding_notes

__all__ = ["Script", "open_script"]


@dataclass(frozen=True, eq=False)
class Script:
    """A loaded script: `traced` converts it for samples of one shape."""

    module: Any
    origin: str
    parameters: int
    sample_shape: tuple[int, ...] | None
    notes: tuple[str, ...]

    def traced(self, sample_shape: tuple[int, ...]) -> Traced:
        """The Graph for samples of `sample_shape`.

        Raises
        ------
        InputShapeError, UnsupportedOpError, NoNeuronError, GraphError, LoadError
        """
        batch = accepted_batch(self.module, sample_shape, self.origin, _same_batch)
        with quiet(), _failures(self.origin, "torch cannot turn it into operators"):
            from torch._export.converter import TS2EPConverter

            example = torch.zeros((batch, *sample_shape))
            program = TS2EPConverter(self.module, (example,)).convert()
            # once more, because the converter leaves the sizes of the sample open
            fixed = torch.export.export(program.module(), (example,), strict=False)
        _name_places(fixed)
        return read_captured(capture(fixed, batch), self.module, sample_shape, self.origin)


def open_script(source: Source, trusted: bool) -> Script:
    """The script in the file, loaded.

    Raises
    ------
    UnsafeFileError
        Not trusted.
    CorruptFileError
    """
    origin = str(source.path)
    if not trusted:
        raise UnsafeFileError(
            f"{origin}: a TorchScript archive, a program that loading executes; nothing was executed. expected a file "
            "that is only data, or your word that you know where it comes from. Ways out:\n"
            f"  python -m convert {origin} --trust\n"
            "  torch.export.save(torch.export.export(model.eval(), (x,)), 'model.pt2')     in the training script"
        )
    refuse_hostile_archive(source.path, origin, packed="code")
    refuse_short_storages(source.path)
    with quiet(), _failures(origin, "truncated or damaged", CorruptFileError):
        module = torch.jit.load(origin, map_location="cpu").eval()
        state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        notes = rounding_notes(state)
        for tensor in state.values():
            tensor.requires_grad_(False)
        module = module.float()
    sizes = [p.numel() for p in module.parameters()]
    return Script(module, origin, sum(sizes), _first_width(module), notes)


def _same_batch(output: Any, batch: int) -> bool:
    """A script that was traced at batch 1 may take another and give back one."""
    return not isinstance(output, Tensor) or not output.ndim or len(output) == batch


def _name_places(program: ExportedProgram) -> None:
    """Say where in the user's model each call with weights stands: the only trace of it that a script keeps."""
    signature = program.graph_signature
    targets = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    for node in program.graph.nodes:
        owners = [targets[n.name].rpartition(".")[0] for n in node.all_input_nodes if n.name in targets]
        if owners and owners[0] and node.op == "call_function":
            node.meta["nn_module_stack"] = {owners[0]: (owners[0], "torch.nn.Module")}


def _first_width(module: Any) -> tuple[int, ...] | None:
    """The sample shape that the first layer fixes on its own, or None."""
    weights = [p for name, p in module.named_parameters() if name.endswith("weight")]
    return (int(weights[0].shape[1]),) if weights and weights[0].ndim == 2 else None


@contextlib.contextmanager
def _failures(origin: str, what: str, kind: type[LoadError] = LoadError) -> Iterator[None]:
    try:
        yield
    except ConvertError:
        raise
    except Exception as error:  # torch raises many private types
        reason = (str(error).strip().splitlines() or [""])[-1][:300]
        raise kind(
            f"{origin}: {what} ({type(error).__name__}: {reason}); expected a module saved with torch.jit.save, "
            "without control flow that depends on the data: save it again, or save the original with torch.export.save"
        ) from error
