"""The command line of the zoo: `python -m zoo list | show | train | verify | export | data`.

Exit codes: 0 good, 1 a bug, 2 the user's input or a verification that failed.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from tabulate import tabulate

import zoo
from zoo import exporting
from zoo.architectures import architecture
from zoo.cards import accuracy_interval, card
from zoo.catalogue import WEIGHTS, write_manifest
from zoo.errors import ZooError
from zoo.macs import macs
from zoo.places import roots
from zoo.provenance import Provenance
from zoo.training import Epoch, Recipe

__all__ = ["data", "export", "list_networks", "main", "show", "train", "verify"]

_app = typer.Typer(
    help="Reference networks and data sets.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_out = Console(soft_wrap=True, highlight=False, markup=False)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A network of the zoo, see python -m zoo list.")]
_Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Checkpoint to write [NAME.safetensors].")]
_Epochs = Annotated[int | None, typer.Option(min=1, metavar="N", help="Instead of the recipe's number of epochs.")]
_Threads = Annotated[int | None, typer.Option(min=1, metavar="N", help="CPU threads [all cores].")]
_DataDir = Annotated[str | None, typer.Option("--data-dir", metavar="DIR", help="Look for data sets here first.")]
_Install = Annotated[bool, typer.Option("--install", help="Replace the weights that come with the zoo.")]
_FORMAT = f"One of {', '.join(exporting.FORMATS)} [by the suffix, where that is clear]."


@_app.command("list", epilog="Example: python -m zoo list")
def list_networks() -> None:
    """List the networks: data set, activation, size, accuracy with its 95 % interval on the test split."""
    rows = []
    for network in map(zoo.load, zoo.names()):
        low, high = accuracy_interval(network)
        cost = macs(network.module, network.sample_shape)
        facts = (architecture(network.name).activation, f"{network.parameters:,}", f"{cost:,}")
        interval = f"{low * 100:.1f} - {high * 100:.1f}"
        rows.append((network.name, network.data, *facts, f"{network.accuracy:.2%}", interval, f"{network.samples:,}"))
    headers = ("name", "data", "activation", "parameters", "MACs", "accuracy", "interval", "test samples")
    aligned = ("left", "left", "left", *("right",) * 5)
    _out.print(tabulate(rows, headers, tablefmt="plain", colalign=aligned, disable_numparse=True))
    for name in zoo.untrained():
        _out.print(f"{name}: a recipe without weights; python -m zoo train {name} --install")


@_app.command(epilog="Example: python -m zoo show digits-relu")
def show(name: _Name) -> None:
    """Show the card of one network, its layers and its recipe."""
    network = zoo.load(name)
    _out.print(f"{network.name}: {network.description}")
    for fact, value in card(network).items():
        _out.print(f"  {fact:<13} {value}")
    _out.print(f"\n{network.module}\n\nrecipe")
    for key, value in asdict(zoo.recipe(name)).items():
        _out.print(f"  {key:<18} {value}")


@_app.command(epilog="Example: python -m zoo train digits-relu --out my.safetensors")
def train(
    name: _Name,
    path: _Out = None,
    epochs: _Epochs = None,
    threads: _Threads = None,
    install: _Install = False,
) -> None:
    """Train a network by its recipe and write its checkpoint."""
    recipe = zoo.recipe(name, epochs)
    target = _target(name, path, install)
    if threads is not None:
        torch.set_num_threads(threads)
    test = zoo.open_dataset(recipe.data).scored()
    module, history, training = _train_with_bar(recipe)
    reached = zoo.accuracy(module, test)
    zoo.save_checkpoint(
        target,
        module,
        network=name,
        accuracy=reached,
        samples=len(test),
        recipe_sha256=recipe.sha256,
        training=training,
    )
    if install:
        write_manifest()
    last = history[-1]
    _out.print(f"training loss {last.loss:.4f}, training accuracy {last.accuracy:.2%} (last epoch)")
    _out.print(f"test accuracy {reached:.2%} on {len(test):,} samples; {_judged(recipe, reached, epochs)}")
    _out.print(f"wrote {target}")


@_app.command(epilog="Example: python -m zoo verify --all")
def verify(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A network of the zoo.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All networks.")] = False,
) -> None:
    """Check hash and test accuracy of the installed weights."""
    if (name is None) != every:
        raise ZooError("verify: expected either a NAME or --all; e.g. python -m zoo verify --all")
    failed = False
    for each in zoo.names() if name is None else (name,):
        found = zoo.verify(each)
        word = "DIFFERS" if found.faults else "verified"
        _out.print(f"{each}: {word}, accuracy {found.measured:.2%} on {found.samples:,} test samples")
        for fault in found.faults:
            _out.print(f"  {fault}")
        failed = failed or bool(found.faults)
    if failed:
        raise ZooError(
            "verify: the installed weights are not those stated; expected no difference\n"
            "install ann2spike again, or train them: python -m zoo train NAME --install"
        )


@_app.command(epilog="Example: python -m zoo export digits-relu weights.pth --format state_dict")
def export(
    name: _Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write, e.g. model.pt or model.pt2.")],
    chosen: Annotated[str | None, typer.Option("--format", metavar="NAME", help=_FORMAT)] = None,
) -> None:
    """Write a network as a model file of another kind, and say how to read it."""
    network = zoo.load(name)
    chosen = exporting.export(network, file, chosen)
    _out.print(f"wrote {file} ({chosen}); read it with\n  {exporting.reading_hint(network, file, chosen)}")


@_app.command(epilog="Example: python -m zoo data --data-dir /data")
def data(
    spec: Annotated[str | None, typer.Argument(metavar="SPEC", help=f"One data set: {zoo.SPECS}.")] = None,
    data_dir: _DataDir = None,
) -> None:
    """List the data sets that have names, and where each was found; or open one and show its splits."""
    if spec is not None:
        opened = zoo.open_dataset(spec, data_dir)
        _out.print(f"{opened.spec}: samples of shape {opened.sample_shape}, from {opened.place or 'memory'}")
        _out.print(f"  {opened.split_note}")
        return
    looked = ", ".join(map(str, roots(data_dir)))
    rows = [(name, *_found(name, data_dir)) for name in zoo.NAMED]
    align = ("left", "right", "left")
    _out.print(tabulate(rows, headers=("name", "samples", "found in"), disable_numparse=True, colalign=align))
    _out.print(f"\nlooked in {looked}")
    _out.print("how to get one: python -m zoo data NAME")


def _found(name: str, data_dir: str | None) -> tuple[str, str]:
    try:
        opened = zoo.open_dataset(name, data_dir)
    except zoo.MissingDatasetError:
        return "", "-"
    except zoo.DatasetError as error:
        return "", f"damaged: {str(error).splitlines()[0]}"
    return f"{sum(opened.splits.values()):,}", opened.place


def main() -> None:
    """Run the command line; what the user can mend ends in a message and exit code 2."""
    try:
        _app(prog_name="python -m zoo")
    except ZooError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def _target(name: str, path: Path | None, install: bool) -> Path:
    """Where the checkpoint goes, refused before the training rather than after it."""
    if install and path is not None:
        raise ZooError("train: --out and --install together; expected one of them")
    target = (WEIGHTS if install else Path()) / f"{name}.safetensors" if path is None else path
    if not target.parent.is_dir() or target.is_dir():
        raise ZooError(f"{target}: cannot be written; expected a file in an existing folder; change --out")
    if target.resolve().parent == WEIGHTS.resolve() and not install:
        raise ZooError(f"{target}: among the installed weights; pass --install, or another --out")
    return target


def _train_with_bar(recipe: Recipe) -> tuple[torch.nn.Sequential, tuple[Epoch, ...], Provenance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_out, transient=True) as bar:
        task = bar.add_task(f"training {recipe.network}", total=None)

        def progress(step: int, steps: int, loss: float) -> None:
            text = f"training {recipe.network}, loss {loss:.3f}"
            bar.update(task, completed=step, total=steps, description=text)

        try:
            return zoo.trained(recipe, progress)
        except KeyboardInterrupt:
            bar.console.print("stopped; nothing was written")
            raise typer.Exit(130) from None


def _judged(recipe: Recipe, reached: float, epochs: int | None) -> str:
    stated = f"{recipe.expected_accuracy:.2%}, tolerance {recipe.tolerance:.2%}"
    if epochs is not None:
        return f"the full recipe is expected to reach {stated}; this run had --epochs {epochs}"
    low = reached < recipe.expected_accuracy - recipe.tolerance
    return f"{'below' if low else 'as'} expected by the recipe ({stated})"


if __name__ == "__main__":
    main()
