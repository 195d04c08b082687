"""What a run takes for granted, in words: the equations of its neurons and the limits of what was measured."""

from __future__ import annotations

import math

from convert import Conversion, SpikingNetwork
from convert.graph import ir
from convert.neurons.adaptive import AdaptiveNeuron
from convert.neurons.burst import BurstNeuron
from convert.neurons.counting import CountingNeuron
from convert.neurons.differential import DifferentialNeuron
from convert.neurons.graded import GradedNeuron
from convert.neurons.hard_reset import HardResetNeuron
from convert.neurons.leaky import LeakyNeuron
from convert.neurons.tracking import TrackingNeuron
from convert.normalisation.resolution import resolution
from convert.simulation.periods import period_length, period_steps

__all__ = ["limits", "neuron_equations", "neuron_name", "payload_bits"]


_EXACT = (
    "A[t] = A[t-1] + (charge of the spikes that arrive); the input and all biases are injected once, in step 1",
    "fire s[t] = sign(S*(A[t]) - S[t-1]), S[t] = S[t-1] + s[t]: spikes of both signs, until no neuron can fire",
    "S*(A): the level of a table at charge A; for ReLU min(max(floor(A + 1/2), 0), N), in units of lam / N",
    "Charges are whole numbers times 2^-bits and fit into 53 bits, so every sum is exact. A network at rest has the "
    "counts of its quantised network (the proof is in convert/simulation/quiescence.py); the certificate is that "
    "no neuron could fire, computed anew from the counts.",
    "Corrections (spikes of the other sign) count as spikes and as SynOps like all others. Neuron updates are "
    "clock-driven until the last sample is at rest.",
)


_RADIX = (
    "A = (charge of all spikes that arrived in earlier periods); the input and all biases are injected once",
    "a population fires in a period of K steps of its own, after those that it hears: V[0] = min(A, N), "
    "fire s[t] = 1 if V[t-1] >= 2^(K - t) - 1/2, V[t] = V[t-1] - 2^(K - t) s[t], in units of lam / N",
    "a spike in step t of a period adds 2^(K - t) times its weight to the charge of those who receive it",
    "The digits are those of min(max(floor(A + 1/2), 0), N): the counts of the quantised network, bit for bit (the "
    "proof is in convert/simulation/periods.py). Neuron updates are clock-driven, in every step of all periods.",
)

_PRIMED = (
    "I[t] = alpha_t I[t-1] + (1 - alpha_t) S[t],  alpha_t = alpha (1 - alpha^(t-1)) / (1 - alpha^t),  "
    "alpha = exp(-dt / tau_syn): the weighted mean of what has arrived"
)

_DIFFERENCE = (
    "softmax, layer norm and products of two inputs, F, are difference operators: X += J, send "
    "t F(X / t) - (t - 1) F(X' / (t - 1)) with X' the sum before, so that what was sent adds up to t F(X / t)"
)

_DIFFERENTIAL = (
    "J[t] = W S[t] + b; y[t] = (J[t] - J_rest) + r_in[t-1], r_in[t] = r_in[t-1] + (J[t] - J_rest) / t, r_in[0] = J_rest"
    ": what is received is an estimate, which spikes correct; J_rest is what arrives while nobody fires",
)


def payload_bits(network: SpikingNetwork) -> int:
    """Bits that a spike carries beside its time; the most of any population."""
    return max(site.neuron.payload_bits for site in network.sites.values())


def neuron_name(conversion: Conversion, name: str) -> str:
    """The neuron at the population `name`, for the layer table."""
    neuron = conversion.snn.sites[name].neuron
    if isinstance(neuron, CountingNeuron):
        return f"counting, {min(neuron.levels)} to {max(neuron.levels)}"
    family = {"seed": "seed LIF", "lif": "LIF", "if": "IF"}[conversion.config.neuron]
    if neuron.trait:
        return f"{family}, {neuron.trait}"
    return f"{family}, signed, {_curve_name(conversion.snn.graph[name].op)}" if neuron.signed else family


def _curve_name(op: ir.Op) -> str:
    """What the activation of a signed neuron is called."""
    if isinstance(op, ir.Curve):
        return op.name.removeprefix("centred_").replace("_", " ")
    return {ir.Tanh: "tanh", ir.Clamp: "hard tanh", ir.LeakyRelu: "leaky ReLU"}.get(type(op), "ReLU")


def neuron_equations(conversion: Conversion) -> list[str]:
    """The dynamics of every kind of neuron in the network, with their constants."""
    if conversion.snn.code == "exact":
        return list(_EXACT)
    if conversion.snn.code == "radix":
        return [*_RADIX, f"K = {conversion.config.radix_bits}, dt = {conversion.config.dt_ms:g} ms"]
    config = conversion.config
    tau_mem_s, tau_syn_s = config.taus_s
    if conversion.snn.code == "differential":
        neuron = next(iter(conversion.snn.sites.values())).neuron
        return [*_DIFFERENTIAL, _spike_rule(neuron), f"no leak, no synaptic filter, dt = {config.dt_ms:g} ms"]
    kinds = {type(site.neuron): site.neuron for site in conversion.snn.sites.values()}
    return [
        _PRIMED if conversion.snn.primed else "I[t] = alpha I[t-1] + (1 - alpha) S[t],  alpha = exp(-dt / tau_syn)",
        "V[t] = beta V[t-1] + W I[t] + b,  beta = exp(-dt / tau_mem), the gain 1 / (1 - beta) absorbed into W and b",
        *(_spike_rule(neuron) for neuron in kinds.values()),
        *([_DIFFERENCE] if conversion.snn.hybrid() else []),
        f"tau_mem = {tau_mem_s * 1e3:g} ms, tau_syn = {tau_syn_s * 1e3:g} ms, dt = {config.dt_ms:g} ms",
    ]


def _spike_rule(neuron: LeakyNeuron) -> str:
    """When a neuron fires, and what that does to it."""
    if isinstance(neuron, DifferentialNeuron):
        values = ", ".join(f"{m:g}" for m in neuron.values)
        return (
            f"m[t] = V[t-1] + y[t] - r[t-1]; emit the value s nearest to m[t] out of 0 and +-({values}), the least one "
            f"from {neuron.v_threshold:g} of it on, V[t] = m[t] - s, r[t] = r[t-1] + s / t; none that would make the "
            f"estimate r negative{'' if neuron.ceiling == math.inf else ', or lift it above one quantum'}"
        )
    if isinstance(neuron, GradedNeuron):
        values = ", ".join(f"{m:g}" for m in neuron.values)
        return (
            f"emit the value m nearest to V[t] out of 0 and +-({values}), then V[t] -= m; negative ones only against "
            "credit, so that what a neuron has sent never sums to less than zero"
        )
    if isinstance(neuron, BurstNeuron):
        return (
            f"fire as long as V[t] >= V_th = {neuron.v_threshold:g} quantum, at most {neuron.most} times in a step, "
            "each time V[t] -= 1 quantum (burst, soft reset)"
        )
    if isinstance(neuron, HardResetNeuron):
        return f"fire if V[t] >= V_th = {neuron.v_threshold:g} quantum, then V[t] = 0 (reset to zero)"
    if isinstance(neuron, AdaptiveNeuron):
        return (
            "tanh: spikes of both signs; the quantum grows with the neuron's own rate r, q(r) = artanh(r) / r, "
            "from a table; fire sign(V) if |V| >= q / 2"
        )
    if isinstance(neuron, TrackingNeuron):
        return (
            "other curves f: spikes of both signs; A = beta A + I, n = beta n + 1, fire sign(V) if |V| >= 1/2 with "
            "V = n f(A / n) / lam - beta S, S = beta S + s; f is a table of straight pieces"
        )
    if neuron.v_threshold == 0.5:
        return "fire if V[t] >= V_th = 1/2 quantum, then V[t] -= 1 quantum (soft reset; leak-neutral threshold)"
    return f"fire if V[t] >= V_th = {neuron.v_threshold:g} quantum, then V[t] -= 1 quantum (soft reset)"


def limits(conversion: Conversion) -> list[str]:
    """What a reader must know before comparing the numbers with others."""
    network, config = conversion.snn, conversion.config
    found = [
        "The input is coded as Poisson spikes." if config.input_code == "poisson" else
        "The input is a constant analog current: the first layer multiplies, the chip needs such an input stage.",
        "The read-out counts spikes through the output weights: it is a weighted sum, not a neuron.",
    ]  # fmt: skip
    if floating := network.hybrid():
        found.append(
            f"This network is hybrid: {len(floating)} functions (softmax, layer norm, products of two inputs) are "
            "computed in floating point at every step, and layers that read them multiply. A chip needs units for "
            "that. These operations are counted as analog MACs, never as SynOps; the functions "
            "themselves are not priced."
        )
    if network.readout_delay:
        found.append(
            f"The read-out leaves out the first {network.readout_delay} steps, and never more than half of them; they "
            "count as latency and as energy."
        )
    found += conversion.tried
    if network.primed:
        found.append(
            "Primed synapses: in the first steps of a sample all synapses forget faster, by one table of decay "
            "constants that starts at 0 and grows to exp(-dt / tau_syn), so that a train arrives as it is from the "
            "first step on. Nothing depends on later steps; a chip needs decay constants that change with the step."
        )
    if network.look_ahead:
        found.append(
            f"Every sample is tried for {network.look_ahead} steps before it runs, one population after the other "
            f"(look-ahead repair): {network.look_ahead_steps()} steps of latency that no T here contains. The spikes "
            "and updates of these steps are counted. In its first step the network uses what arrives later."
        )
    if (payload := payload_bits(network)) > 1:
        found.append(
            f"A spike carries {payload} bits: which of its values it has. It is counted as one event, and its addition "
            "as one of a shifted weight; the bits stand beside every count."
        )
    if (most := max(site.neuron.largest for site in network.sites.values())) > 1:
        found.append(
            f"A neuron fires up to {most:g} spikes in one step. Each is a plain spike of one bit, counted and priced "
            f"by itself: k of them are k spikes and k SynOps for each synapse. A link that carries one at a time needs "
            f"{most:g} slots for a step, which the latency in steps does not show; a step says as much as one spike of "
            f"{math.ceil(math.log2(most + 1))} bits."
        )
    if network.code == "radix":
        length, last = period_length(network), period_steps(network)
        found.append(
            f"Radix code: {length} steps of a period carry {length} bits, but a layer begins when the one before it "
            f"has ended, so the latency is {length} steps for each layer, {last} in all. A spike is one bit; its "
            "addition is one of a weight shifted by its place in the period, which all populations know by a common "
            "clock, and the shift is not priced."
        )
    if network.code == "differential":
        found.append(
            "Differential code: whoever receives a spike at step t divides its charge by t. Here 1 / t comes from a "
            "table of 16 bits, and all populations share one clock; the decoders' additions and multiplications are "
            "priced, the memory of their estimates is not."
        )
    tau_mem_s = config.taus_s[0]
    if tau_mem_s < math.inf and network.code == "rate":
        lost = resolution(network.dt_s, tau_mem_s)
        found.append(
            f"A leaky neuron remembers 1 / (1 - beta) = {1 / lost:.1f} steps: constant drives below (1 - beta) / 2 = "
            f"{lost / 2:.3f} quanta per step never fire, and the resolution of a rate saturates near {lost:.3f}."
        )
    return found
