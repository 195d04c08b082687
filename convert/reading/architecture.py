"""build(): the network that the user names with --arch, and loading weights into it.

Only code that the user names on the command line runs here, and never code that the model file names.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from convert.errors import ArchitectureError
from convert.reading.weights import Weights, state_of, strip_prefixes

__all__ = ["build", "fill"]

_EXPECTED = "expected net.py:Net, package.module:factory, or with literal arguments 'net.py:Net(28, width=2)'"


@dataclass(frozen=True)
class _Named:
    """The parts of --arch."""

    module: str
    attribute: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    called: bool


def _parse(text: str) -> _Named:
    """--arch in parts; arguments are literals and nothing else."""
    for colon in re.finditer(":", text):
        module, rest = text[: colon.start()], text[colon.end() :]
        if module and re.fullmatch(r"[A-Za-z_][\w.]*\s*(\(.*\))?\s*", rest, re.DOTALL):
            break
    else:
        raise ArchitectureError(f"--arch: got {text!r}; {_EXPECTED}")
    try:
        tree = ast.parse(rest.strip(), mode="eval").body
        call = tree if isinstance(tree, ast.Call) else None
        args = tuple(ast.literal_eval(arg) for arg in call.args) if call else ()
        kwargs = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords if k.arg} if call else {}
        if call and (len(kwargs) != len(call.keywords) or not isinstance(call.func, (ast.Name, ast.Attribute))):
            raise ValueError("only a name and literal arguments")
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ArchitectureError(f"--arch: got {text!r}, whose arguments are not literals; {_EXPECTED}") from error
    return _Named(module, rest.partition("(")[0].strip(), args, kwargs, call is not None)


def build(text: str) -> nn.Module:
    """The network that `text` names, constructed.

    Raises
    ------
    ArchitectureError
        No such file, module or name; an error in its code, with the file and the line; not an `nn.Module`.
    """
    named = _parse(text)
    with _guarded(f"--arch {text}"), contextlib.redirect_stdout(sys.stderr), torch.random.fork_rng(devices=[]):
        found: Any = _import(named.module)
        for part in named.attribute.split("."):
            if not hasattr(found, part):
                raise _unknown(named, found)
            found = getattr(found, part)
        if not isinstance(found, nn.Module) or named.called:
            if not callable(found):
                raise ArchitectureError(f"--arch: {named.attribute} is a {type(found).__name__}; {_EXPECTED}")
            found = found(*named.args, **named.kwargs)
    if not isinstance(found, nn.Module):
        raise ArchitectureError(
            f"--arch: {named.attribute} gave a {type(found).__name__}; expected an nn.Module: name its class, or a "
            "function that returns the network"
        )
    return found


def _unknown(named: _Named, owner: Any) -> ArchitectureError:
    classes = [n for n, v in vars(owner).items() if isinstance(v, type) and issubclass(v, nn.Module)]
    return ArchitectureError(
        f"--arch: {named.module} has no {named.attribute}; expected a class or function in it"
        + (f", such as {', '.join(classes[:5])}" if classes else "; check the spelling")
    )


def _import(name: str) -> ModuleType:
    """The module of that name, or the file, under a name of its own that shadows nothing."""
    path = Path(name)
    if not (name.endswith(".py") or path.is_file()):
        if not re.fullmatch(r"\w+(\.\w+)*", name):
            raise ArchitectureError(f"--arch: got {name!r}, neither a file nor a module; {_EXPECTED}")
        return importlib.import_module(name)
    if not path.is_file():
        raise ArchitectureError(f"--arch: {name}: no such file; {_EXPECTED}")
    private = f"_ann2spike_arch_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(private, path)
    if spec is None or spec.loader is None:
        raise ArchitectureError(f"--arch: {name}: not a Python file; {_EXPECTED}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module  # dataclasses and torch.jit look their module up
    with _neighbours(path.resolve().parent):
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Let the file import its neighbours, as it could when it was a script."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


@contextlib.contextmanager
def _guarded(what: str) -> Iterator[None]:
    """Any failure of the user's code, as one message with its file and line."""
    try:
        yield
    except ArchitectureError:
        raise
    except (Exception, SystemExit) as error:
        raise ArchitectureError(
            f"{what}: {_where(error)}{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}; expected "
            "code that builds the network when it is imported and called: mend it, or give its arguments in --arch"
        ) from error


def _where(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: "
    ours = str(Path(__file__).resolve())
    frames = [f for f in traceback.extract_tb(error.__traceback__)
              if f.filename != ours and not f.filename.startswith("<frozen")]  # fmt: skip
    own = [f for f in frames if "site-packages" not in f.filename and f"{'/'}lib/python" not in f.filename]
    last = (own or frames)[-1:] if frames else []
    return "".join(f"{f.filename}, line {f.lineno}: " for f in last)


def fill(module: nn.Module, weights: Weights, origin: str, arch: str) -> nn.Module:
    """`module` with `weights` in it, float32, in evaluation mode.

    Raises
    ------
    ArchitectureError
        Missing, unexpected and misshapen tensors, all of them.
    """
    expected = state_of(module)
    tensors = strip_prefixes(weights.tensors, set(expected))
    if faults := _faults(tensors, expected):
        shown = faults[:20] + ([f"... and {len(faults) - 20} more"] if len(faults) > 20 else [])
        raise ArchitectureError(
            f"{origin}: the weights do not fit --arch {arch}:\n  " + "\n  ".join(shown) +
            "\nexpected the state_dict of that network: name the class that was trained, with the arguments it had"
        )  # fmt: skip
    with _guarded(f"--arch {arch}, loading {origin}"):
        module.float().load_state_dict(tensors, strict=False)
        return module.eval().requires_grad_(False)


def _faults(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> list[str]:
    shape: Callable[[Tensor], tuple[int, ...] | None] = lambda t: None if is_lazy(t) else tuple(t.shape)  # noqa: E731
    counters = "num_batches_tracked"  # absent from what old versions saved, and never used at inference
    faults = [f"missing: {n}" for n in expected if n not in tensors and not n.endswith(counters)]
    faults += [f"unexpected: {n} {tuple(t.shape)}" for n, t in tensors.items() if n not in expected]
    common = [(n, shape(t), shape(expected[n])) for n, t in tensors.items() if n in expected]
    return faults + [f"{n}: got {got}, expected {want}" for n, got, want in common if want not in (None, got)]
