"""What is counted, and by which rules: the counts of one node, without the network that they are of.

Torch-free, so that a run file can be priced and explained again without what made it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CONVENTIONS", "OpCount", "Tensors"]

CONVENTIONS = (
    "One SynOp is one spike, of either sign, delivered through one existing synapse; each spike of a burst "
    "is one. Fan-out is exact at borders: stride, padding, dilation and groups included; padding is never counted, "
    "neither in the ANN nor in the SNN.",
    "One MAC is one multiplication and one addition. Batch norm is folded before counting.",
    "A constant input current passes the first layer once per inference and is cached (k = 1): its MACs are counted "
    "as encoder MACs of the SNN. Computed anew at every step they would be k = T times as many.",
    "Average pooling is wiring: each spike goes to the synapses of every window it lies in. Spikes on an identity "
    "path count one SynOp each where they are added.",
    "Softmax, layer norm and products of two inputs (hybrid networks) are computed anew at every step, in floating "
    "point: the MACs of products, and of layers that read such values, count T times among the analog MACs of the "
    "SNN, the values of softmax and layer norm as functions; none of them is a SynOp.",
    "Neuron updates are clock-driven: neurons times steps; the bias is added in the update. Beside them stand the "
    "event-driven ones: neurons and steps in which a spike or a constant current arrives, seen on a few samples, steps "
    "of look-ahead left out. They are not priced, and a bias, a leak or a filter may need an update without arrival.",
    "Differential code: populations, max pools and the read-out decode what arrives, unless it is constant. A decoder "
    "adds its estimate to the charge and corrects it by the charge times 1 / t, from a table: two additions and a "
    "multiplication in every step, whether or not a spike arrives. A neuron keeps its own estimate likewise.",
    "A network that looks ahead updates every neuron twice in each of those steps, once to try and once corrected; the "
    "corrected spikes are counted with all others.",
    "Weights that are zero are counted like others; how many of the MACs and SynOps are theirs stands beside. "
    "Comparisons, the subtraction at a spike and table look-ups are not counted.",
)
"""The rules in words."""


@dataclass(frozen=True)
class Tensors:
    """Elements of the tensors of one node, for one sample.

    Parameters
    ----------
    inputs, outputs : int
        Values that it reads and writes.
    weights, biases : int
        Parameters.
    kernel : int
        Output channels times positions of the kernel of a convolution; 0 for what has no kernel.
    """

    inputs: int = 0
    outputs: int = 0
    weights: int = 0
    biases: int = 0
    kernel: int = 0


@dataclass(frozen=True)
class OpCount:
    """What one node of the graph does in one inference (mean over the samples)."""

    node: str
    place: str
    role: str
    """"encoder" (weighted, analog input), "spiking" (weighted, spikes in), "neuron", "linear" (no weights), or "hybrid"
    (softmax, layer norm, product of two inputs)."""
    neurons: int = 0
    ann_macs: int = 0
    """Dense multiply-accumulates of the ANN."""
    ann_macs_effective: float = 0.0
    """The same without products whose activation is zero, measured on the samples."""
    macs_zero_weight: int = 0
    """Those of the dense ones whose weight is zero."""
    encoder_macs: float = 0
    """Multiply-accumulates of the SNN on analog values; a constant current is computed once and cached."""
    encoder_macs_recomputed: float = 0
    """The same where also a constant current is computed anew in every step (k = T)."""
    functions: float = 0
    """Values of floating-point functions (softmax, layer norm) that the SNN computes, in all steps."""
    synops: float = 0.0
    """Accumulates of the SNN: delivered spikes (of either sign) times exact fan-out."""
    synops_zero_weight: float = 0.0
    """Those whose weight is zero in the spiking network."""
    spikes: float = 0.0
    """Spikes emitted, of either sign."""
    neuron_updates: float = 0
    """Membrane updates, clock-driven: neurons times steps."""
    neuron_updates_event: float | None = None
    """Updates of neurons that something arrives at, step by step: what an event-driven machine does; seen on a few
    samples, None where nobody looked."""
    adds_per_update: int = 0
    multiplies_per_update: int = 0
    arrivals: float = 0.0
    """Events that arrive at the inputs of a weighted node, before fan-out."""
    tensors: Tensors = field(default_factory=Tensors)
