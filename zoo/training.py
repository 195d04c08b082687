"""Training a network of the zoo by its recipe.

A recipe (`zoo/recipes/NAME.toml`) is everything the weights depend on. The same recipe gives the same weights
on the same machine with the same torch and thread count; elsewhere float32 sums differ, and the stated
tolerance holds.
"""

from __future__ import annotations

import hashlib
import json
import time
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.architectures import architecture
from zoo.checkpoints import WEIGHTS, load_checkpoint
from zoo.datasets import open_dataset
from zoo.errors import ZooError
from zoo.layers import QuantisedClip
from zoo.provenance import Provenance
from zoo.samples import Samples

__all__ = ["Epoch", "Recipe", "accuracy", "augmented", "begin_with", "fitted", "held_out", "recipe", "train", "trained"]

_Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Recipe:
    """What `train` needs to know; the comments in the files say what each value means."""

    network: str
    data: str
    seed: int
    epochs: int
    batch: int
    optimiser: str
    learning_rate: float
    weight_decay: float
    schedule: str
    label_smoothing: float
    flip: bool
    shift: int
    expected_accuracy: float
    tolerance: float
    samples: int
    hold_out: int = 0
    start: str = ""

    def __post_init__(self) -> None:
        """Refuse what `train` does not do, rather than do something else in silence."""
        if (self.optimiser, self.schedule) != ("adamw", "one-cycle"):
            raise ZooError(
                f"recipe {self.network}: optimiser {self.optimiser!r}, schedule {self.schedule!r}; "
                "supported: 'adamw', 'one-cycle'; change the recipe"
            )
        if self.epochs < 1 or self.batch < 2:
            raise ZooError(
                f"recipe {self.network}: {self.epochs} epochs, batch {self.batch}; expected 1 and 2 at least"
            )

    @property
    def sha256(self) -> str:
        """Hash of all that the weights depend on, so without the expected accuracy."""
        told = {"expected_accuracy", "tolerance", "samples"}
        values = {key: value for key, value in asdict(self).items() if key not in told}
        for key in ("hold_out", "start"):  # recipes older than these keys keep their hash
            if not values[key]:
                del values[key]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Epoch:
    """Mean loss and accuracy over the (augmented) training samples of one epoch."""

    loss: float
    accuracy: float


def recipe(name: str, epochs: int | None = None) -> Recipe:
    """The recipe of the network called `name`, with another number of epochs if given.

    Examples
    --------
    >>> recipe("digits-relu").data
    'digits'
    """
    path = Path(__file__).parent / "recipes" / f"{architecture(name).name}.toml"
    found = Recipe(**tomllib.loads(path.read_text(encoding="utf-8")))
    return found if epochs is None else replace(found, epochs=epochs)


def train(
    recipe: Recipe, progress: _Progress = lambda step, steps, loss: None
) -> tuple[nn.Sequential, tuple[Epoch, ...]]:
    """Train on the training split, but for its last `hold_out` samples, from scratch or from another network's weights.

    Parameters
    ----------
    recipe : Recipe
        What to train and how.
    progress : callable
        Called after each step with (steps done, steps in all, loss of the step).

    Returns
    -------
    module : nn.Sequential
        The network, in eval mode.
    history : tuple of Epoch
        One entry an epoch.
    """
    samples = fitted(recipe.data, recipe.hold_out)
    # Initial weights and dropout draw from torch's global generator: fork it, leave the caller's as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        module = architecture(recipe.network).build()
        if recipe.start:
            begin_with(module, recipe.start, samples)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
        history = _fit(module, samples, recipe, progress)
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return module.eval(), history


def begin_with(module: nn.Sequential, start: str, samples: Samples) -> None:
    """The weights of the network called `start`; thresholds of QCFS layers fit the mean of what they receive.

    For the positive half of a normal distribution, four levels have the least mean square error where the highest is
    about 2.8 times the mean; training moves it on.
    """
    weights = load_checkpoint(WEIGHTS / f"{start}.safetensors").module.state_dict()
    module.load_state_dict({**module.state_dict(), **weights})
    x = samples.x[:1000]
    with torch.no_grad():
        for layer in module.eval():
            if isinstance(layer, QuantisedClip):
                layer.lam.fill_(2.8 * float(x[x > 0].mean()))
            x = layer(x)
    module.train()


def trained(
    recipe: Recipe, progress: _Progress = lambda step, steps, loss: None
) -> tuple[nn.Sequential, tuple[Epoch, ...], Provenance]:
    """What `train` gives, and the provenance of the weights: processor time, and accuracy on what was held out."""
    begin = time.process_time()
    module, history = train(recipe, progress)
    seconds = time.process_time() - begin
    new = recipe.hold_out and not recipe.start
    unseen = accuracy(module, held_out(recipe.data, recipe.hold_out)) if new else None
    facts = (recipe.seed, recipe.epochs, recipe.start, recipe.hold_out, unseen, round(seconds, 1))
    return module, history, Provenance(*facts, torch.get_num_threads())


def fitted(data: str, hold_out: int) -> Samples:
    """The training split of `data` without its last `hold_out` samples: what a network's weights have seen."""
    samples = open_dataset(data).calibration()
    return samples.take(torch.arange(len(samples) - hold_out))


def held_out(data: str, hold_out: int) -> Samples:
    """The last `hold_out` samples of the training split: recipes and searches are chosen on these."""
    samples = open_dataset(data).calibration()
    return samples.take(torch.arange(len(samples) - hold_out, len(samples)))


def accuracy(module: nn.Module, samples: Samples, batch: int = 500) -> float:
    """Fraction of `samples` whose largest output is their class."""
    if samples.y is None:
        raise ZooError(f"split {samples.split}: no labels; accuracy needs an array y of class indices")
    with torch.inference_mode():
        outputs = torch.cat([module(x) for x in torch.split(samples.x, batch)])
    return float((outputs.argmax(1) == samples.y).double().mean())


def augmented(x: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Images of shape (batch, 1, height, width), each mirrored and shifted by its own draw."""
    if recipe.flip:
        mirrored = torch.rand(len(x), generator=generator) < 0.5
        x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    if recipe.shift:
        reach, (count, _, height, width) = recipe.shift, x.shape
        move = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=generator)
        rows, columns = move[0] + torch.arange(height), move[1] + torch.arange(width)
        padded = nn.functional.pad(x, (reach, reach, reach, reach))
        x = padded[torch.arange(count)[:, None, None], 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)
    return x


def _fit(module: nn.Sequential, samples: Samples, recipe: Recipe, progress: _Progress) -> tuple[Epoch, ...]:
    generator = torch.Generator().manual_seed(recipe.seed)
    per_epoch = len(samples) // recipe.batch
    steps = recipe.epochs * per_epoch
    optimiser = torch.optim.AdamW(module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    history = []
    for epoch in range(recipe.epochs):
        loss_sum, correct = 0.0, 0
        order = torch.randperm(len(samples), generator=generator)[: per_epoch * recipe.batch]
        for index, chosen in enumerate(torch.split(order, recipe.batch)):
            part = samples.take(chosen)
            outputs = module(augmented(part.x, recipe, generator))
            loss = loss_of(outputs, part.y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            loss_sum, correct = loss_sum + loss.item(), correct + int((outputs.argmax(1) == part.y).sum())
            progress(epoch * per_epoch + index + 1, steps, loss.item())
        history.append(Epoch(loss_sum / per_epoch, correct / len(order)))
    return tuple(history)
