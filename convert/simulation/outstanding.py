r"""What the steps to come can still change about an answer: a bound, and with it an exit that is never wrong.

Let the network have run t of T steps, R = T - t are left. In each step the read-out adds

    o[s] = M x[s] + r

where x[s] are the values that the *last* neurons send in step s (those from which a path of synapses and wiring leads
to the output without another neuron on it), M is that path, and r is what it gives while nobody fires. In step s a
neuron sends between l_i and h_i: 0 and its largest value, or minus and plus that, where it has signs.

**Theorem.** For classes c and j let O[t] be the sum of o up to step t, in the original's units, and

    D(c, j) = r_c - r_j + sum_i min((M_c - M_j)_i l_i, (M_c - M_j)_i h_i).

Then O_c[T] - O_j[T] >= O_c[t] - O_j[t] + R D(c, j). So if the right side is positive for every j other than c, the
network names c after step T, and nothing that it does until then can change it.

*Proof.* O_c[T] - O_j[T] = O_c[t] - O_j[t] + sum over the R steps of (M_c - M_j) x[s] + r_c - r_j. Each product of a
number with a value between l and h is at least the smaller of the products with the ends, so each step adds at least
D(c, j). The read-out is (O[T] - O[d]) / (T - d) with the delay d = min(delay, floor(T / 2)), and that has the same
largest component as O[T] - O[d]. Both terms of O[T] - O[d] are known from step 2 d on. For an answer that is a sign
(one class of two, labels) take r_c + sum_i min(M_ci l_i, M_ci h_i), and its counterpart with max, in the place of D.

The proof says nothing of how x[s] comes about. So it holds for every law of `convert.neurons.families` with a rate
code, with or without a leak, a synaptic filter or a reset to zero, for bursts, values and signs, for the charge that is
still in membranes and synapses, and for any input: synapses are filtered in front of neurons, not in front of the
read-out, and what has not come out as a spike cannot come out faster than with h in every step.

It is a bound for the worst case: all last neurons silent that speak for c, all others firing in every step. Rates are a
tenth of that, so it decides late. A closer one needs the earlier layers: the counts of neurons at a known mean drive
stray from it by a spike, those of the next layer by the sum of its weights' magnitudes, and so on. These sums are 9 and
29 in the second and third layer of the zoo's fashion-cnn-relu, which is beyond 32 steps; what would be left of such a
bound is the ANN's own pass.

There is no such bound, and it is refused, where the path to the output is not linear (max pooling of spikes), where a
constant input reaches the output past all neurons, for other codes, and for hybrid networks: their floating-point
functions repeat up to rounding only, so the same sample may spike otherwise in another batch.
Rounding: sums are exact on the lattice, elsewhere (and in the read-out's division) to about 2^-50 of their
magnitude; a decision has to be ahead by 2^-36 of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convert.errors import ConfigError
from convert.graph import ir
from convert.graph.ir import Node
from convert.graph.semantics import apply
from convert.network import SpikingNetwork
from convert.simulation.typed import in_type

__all__ = ["Outstanding", "outstanding"]

_LINEAR = (ir.Linear, ir.Conv, ir.Affine, ir.AvgPool, ir.AdaptiveAvgPool, ir.Add, ir.Concat, ir.Reshape, ir.Pad,
           ir.Permute, ir.Identity)  # fmt: skip

_SLACK = 2.0**-36
"""By which part of its magnitude a sum has to be ahead."""


@dataclass(frozen=True, eq=False)
class Outstanding:
    """What one step can change, in units of the original's outputs.

    Parameters
    ----------
    low, high : Tensor (outputs,)
        The least and the most that a step adds to the sum of each output.
    gain : Tensor (outputs, outputs)
        D(c, j): the least that a step adds to the sum of output c minus that of output j.
    delay : int
        Steps that the read-out leaves out.
    """

    low: Tensor
    high: Tensor
    gain: Tensor
    delay: int

    def leader_is_final(self, said: Tensor, step: int, steps: int) -> Tensor:
        """For each sample, whether the largest output after `step` is sure to be the largest after `steps`.

        Parameters
        ----------
        said : Tensor (samples, outputs)
            The read-out after `step`.
        """
        if (skipped := self._skipped(step, steps)) is None:
            return torch.zeros(len(said), dtype=torch.bool)
        sums, left = said.double() * (step - skipped), steps - step
        leader = sums.argmax(1)
        ahead = sums.gather(1, leader[:, None]) - sums + left * self.gain[leader]
        size = sums.abs().amax(1) + left * self.gain[leader].abs().amax(1)
        others = torch.arange(sums.shape[1]) != leader[:, None]
        return ((ahead > _SLACK * size[:, None]) | ~others).all(1)

    def signs_are_final(self, said: Tensor, step: int, steps: int) -> Tensor:
        """For each sample, whether every output is sure to stay positive, or not positive; as `leader_is_final`."""
        if (skipped := self._skipped(step, steps)) is None:
            return torch.zeros(len(said), dtype=torch.bool)
        sums, left = said.double() * (step - skipped), steps - step
        slack = _SLACK * (sums.abs() + left * torch.maximum(self.low.abs(), self.high.abs()))
        return ((sums > 0) & (sums + left * self.low > slack) | (sums + left * self.high < -slack)).all(1)

    def _skipped(self, step: int, steps: int) -> int | None:
        """Steps that the read-out leaves out of both, or None where it does not leave out the same yet."""
        last = min(self.delay, steps // 2)
        return last if step // 2 >= last else None


@torch.no_grad()
def outstanding(network: SpikingNetwork) -> Outstanding:
    """The bound for `network`.

    Raises
    ------
    ConfigError
        There is none; the module's docstring says when.
    """
    if network.code != "rate":
        raise ConfigError(
            f"sound early exit: got a network of code {network.code!r}; the bound is that of a rate code: exit by "
            "margin, or convert with another recipe"
        )
    if running := network.hybrid():
        named = ", ".join(f"{node.place or node.name} ({type(node.op).__name__})" for node in running[:3])
        raise ConfigError(
            f"sound early exit: {named}: got a hybrid network, whose floating-point functions repeat up to rounding "
            "only, so that no answer is sure to be the one of another batch: exit by margin"
        )
    path = _path(network)
    columns, rest = _columns(network, path)
    scale = network.scales[network.graph.output].double().expand(network.graph[network.graph.output].shape).flatten()
    rest = rest * scale
    low, high, gain = rest.clone(), rest.clone(), rest[:, None] - rest
    for name, column in columns.items():
        column = column * scale[:, None]
        least, most = _sent(network, name)
        low += torch.minimum(column * least, column * most).sum(1)
        high += torch.maximum(column * least, column * most).sum(1)
        for c, row in enumerate(column):
            apart = row - column
            gain[c] += torch.minimum(apart * least, apart * most).sum(1)
    return Outstanding(low, high, gain, network.readout_delay)


def _sent(network: SpikingNetwork, name: str) -> tuple[float, float]:
    """The least and the most that an element of `name` sends in one step."""
    if name == network.graph.input.name:
        return -1.0, 1.0
    neuron = network.sites[name].neuron
    return (-neuron.largest if neuron.signed else 0.0), neuron.largest


def _path(network: SpikingNetwork) -> list[Node]:
    """The nodes between the last neurons and the output, in order; refused where they are not linear."""
    emitters, graph = network.spiking(), network.graph
    wanted, path = {graph.output}, []
    for node in reversed(list(graph)):
        if node.name not in wanted or node.name in emitters:
            continue
        where = node.place or node.name
        if isinstance(node.op, ir.Input):
            raise ConfigError(
                f"sound early exit: {where}: a constant input reaches the output past all neurons, got no bound that "
                "holds for every sample; expected neurons on every path: exit by margin"
            )
        if not isinstance(node.op, _LINEAR):
            raise ConfigError(
                f"sound early exit: {where}: got {type(node.op).__name__} between the last neurons and the output; "
                "expected synapses and linear wiring alone, for which there is a bound: exit by margin"
            )
        wanted.update(node.inputs)
        path.append(node)
    return path[::-1]


def _columns(network: SpikingNetwork, path: list[Node]) -> tuple[dict[str, Tensor], Tensor]:
    """M, for each emitter (outputs, elements), and r (outputs,): derivatives are exact where the path is linear."""
    graph, emitters = network.graph, network.spiking()
    heard = [graph.output] if graph.output in emitters else [i for node in path for i in node.inputs if i in emitters]
    with torch.enable_grad():
        sent = {name: torch.zeros((1, *graph[name].shape), dtype=torch.float64, requires_grad=True) for name in heard}
        known: dict[str, Tensor] = dict(sent)
        for node in path:
            known[node.name] = apply(in_type(node, torch.float64).op, *(known[name] for name in node.inputs))
        output = known[graph.output].flatten()
        rows = [torch.autograd.grad(value, list(sent.values()), retain_graph=True) for value in output]
    columns = {name: torch.stack([row[i].flatten() for row in rows]) for i, name in enumerate(sent)}
    return columns, output.detach()
