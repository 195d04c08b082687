"""What each number is, in one line."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

__all__ = ["meaning"]

_NETWORKS = {
    "ann": "the dense ANN", "ann_sparse": "the ANN that skips zero activations",
    "quantised": "the ANN with quantised activations", "snn": "the spiking network",
}  # fmt: skip

_MEANINGS = (
    ("ann.accuracy*", "share of the samples that the ANN gets right"),
    ("snn.accuracy*", "share of the samples that the SNN gets right after the last step"),
    ("accuracy.difference_bootstrap*", "accuracy of the SNN minus that of the ANN, interval of the paired bootstrap"),
    ("accuracy.difference*", "accuracy of the SNN minus that of the ANN, on the same samples"),
    ("accuracy.mcnemar_p*", "how likely so uneven a split of the discordant samples is without a difference"),
    ("agreement*", "share of the samples on which both networks give the same answer"),
    ("*.label_accuracy*", "share of the single labels that are right"),
    ("*.f1*", "F1 over all labels"),
    ("r2.difference*", "R2 of the SNN minus R2 of the ANN, against the labels"),
    ("*.r2*", "coefficient of determination against the labels, mean over the outputs"),
    ("snn.rmse_to_ann*", "root mean squared difference between the outputs of SNN and ANN"),
    ("*.rmse*", "root mean squared error against the labels"),
    ("snn.relative_error*", "difference between SNN and ANN in units of the spread of the ANN's outputs"),
    ("latency.steps_within_*", "first step from which the SNN stays near the ANN"),
    ("latency.ms_within_*", "the same in milliseconds of model time"),
    ("latency.sequential_steps", "steps until the answer is there, where layers run one after the other"),
    ("latency.readout_delay_steps", "first steps that the read-out leaves out"),
    ("latency.early_exit.steps", "step at which a sample stops, in the mean"),
    ("latency.early_exit.steps_p99", "step at which 99 of 100 samples have stopped"),
    ("latency.early_exit.ms", "the mean in milliseconds of model time"),
    ("latency.early_exit.agreement", "share of the samples whose answer at the exit is that after all steps"),
    ("latency.early_exit.changed_decisions", "samples whose answer at the exit is not that after all steps"),
    ("latency.early_exit.accuracy.difference", "accuracy at the exit minus that after all steps"),
    ("latency.early_exit.accuracy", "share of the samples that are right at the exit"),
    ("latency.early_exit.synops", "SynOps of an inference up to the exit"),
    ("latency.early_exit.synops_saved", "share of the SynOps that stopping early saves"),
    ("latency.early_exit.energy_j", "joules of an inference up to the exit, modelled"),
    ("latency.early_exit.energy_saved.*", "share of the modelled joules that stopping early saves"),
    ("latency.look_ahead_steps", "steps before the first one, in which populations are tried"),
    ("latency.steps_to_quiescence*", "step of a sample's last spike"),
    ("synops.per_inference", "spikes delivered through synapses in one inference"),
    ("spikes.per_neuron", "spikes of a neuron in one inference"),
    ("spikes.payload_bits", "bits that a spike carries beside its time"),
    ("macs.ann", "multiply-accumulates of the dense ANN in one inference"),
    ("macs.encoder", "multiply-accumulates of the SNN on analog values in one inference"),
    ("hybrid.macs_per_step", "multiply-accumulates on analog values in one step"),
    ("hybrid.functions_per_step", "values of softmax and layer norm in one step"),
    ("efficiency.synops_per_s_per_w", "SynOps per joule of all that the headline's model prices"),
    ("exact.identical", "share of the samples with, bit for bit, the counts of the quantised network"),
    ("exact.certified", "share of the samples for which no neuron could fire any more"),
    ("exact.quantised_accuracy", "share of the samples that the quantised network gets right"),
    ("simulation.energy_per_inference_j", "joules that simulating one inference took on this machine, measured"),
    ("time.seconds*", "seconds of one pass over the batch, by the clock"),
    ("time.ratio*", "time over that of the ANN's forward pass"),
    ("time.cpu_ratio*", "processor time over that of the ANN's forward pass"),
    ("time.speedup*", "how many times as long as our fastest engine a peer takes"),
    ("rate?*", "spikes per neuron and step in this case"),
    ("layer:*.neurons", "neurons of the population"),
    ("layer:*.spikes", "spikes, of either sign, that the layer emits in one inference"),
    ("layer:*.synops_zero_weight", "SynOps among them that pass a weight of zero"),
    ("layer:*.macs_zero_weight", "MACs of the ANN among them whose weight is zero"),
    ("layer:*.synops", "spikes delivered through the synapses of the layer in one inference"),
    ("layer:*.arrivals", "spikes that arrive at the layer in one inference, before fan-out"),
    ("layer:*.ann_macs_effective", "MACs of the ANN whose activation is not zero"),
    ("layer:*.ann_macs", "MACs of the ANN, dense"),
    ("layer:*.encoder_macs_recomputed", "the same, computed anew at every step"),
    ("layer:*.encoder_macs", "MACs of the SNN on analog values, a constant current computed once"),
    ("layer:*.functions", "values of floating-point functions in all steps"),
    ("layer:*.neuron_updates_event", "updates of neurons that something arrives at, step by step"),
    ("layer:*.neuron_updates", "updates of membranes, clock-driven: neurons times steps"),
    ("layer:*.adds_per_update", "additions in one update"),
    ("layer:*.multiplies_per_update", "multiplications in one update"),
    ("layer:*.rate", "spikes per neuron and step"),
    ("layer:*.rho", "spikes per synapse and inference"),
    ("layer:*.threshold_*", "threshold of the population over its channels or neurons"),
    ("layer:*.tensors.*", "elements of the layer's tensors, for one sample"),
    ("curve:*.accuracy_*", "end of the Wilson interval of the accuracy at this step"),
    ("curve:*.accuracy", "share of the samples that the SNN gets right after this step"),
    ("curve:*.agreement", "share of the samples on which both networks agree after this step"),
    ("curve:*.r2_to_ann", "R2 of the SNN against the outputs of the ANN after this step"),
    ("curve:*.r2", "R2 of the SNN against the labels after this step"),
    ("curve:*.relative_error", "distance from the ANN after this step, relative to the spread of its outputs"),
    ("curve:*.ms", "model time of so many steps"),
    ("curve:*.synops", "SynOps in so many steps"),
    ("curve:*.spikes_per_neuron", "spikes of a neuron in so many steps"),
    ("curve:*.energy_*", "joules of the spiking network in so many steps, modelled"),
    ("curve:*.rho", "spikes per synapse in so many steps"),
    ("curve:*", "recorded with the case or contestant"),
    ("energy:*.terms.*", "joules of this term per inference"),
    ("energy:*.totals.*", "joules per inference"),
    ("energy:*.ratio.*", "joules of the SNN over those of this form of the ANN"),
    ("energy:*.efficiency.marginal.*", "SynOps per joule of what one SynOp more costs"),
    ("energy:*.efficiency.all_terms.*", "SynOps per joule of all that is priced"),
    ("energy:*.efficiency.joule_per_synop", "joules of all that is priced over SynOps"),
    ("energy:*.break_even.*.rho_even.*", "rho below which the SNN wins in so many steps"),
    ("energy:*.break_even.*.rate_even", "rate per step below which the SNN wins"),
    ("energy:*.break_even.*.steps_even.*", "steps up to which the SNN wins at this rate"),
    ("energy:*.break_even.*.steps", "steps of the run"),
    ("energy:*.break_even.*.rate", "spikes per synapse and step"),
    ("energy:*.rho_break_even*", "rho at which the model's SNN costs what its dense ANN costs"),
    ("energy:*.rho", "spikes per synapse and inference"),
    ("energy:*.quantised_bits", "bits of an activation of the quantised ANN"),
    ("energy:*.constants.*", "a constant of the model, as printed in its source"),
    ("energy:*.thresholds.*", "a published threshold, as printed"),
    ("setting:*", "what costs depend on beside the counts"),
    ("constant:*", "a price, as printed in its source"),
    ("baseline:*", "a published figure to stand beside the result"),
    ("case:*", "what was asked"),
    ("diagnosis:*", "where and why accuracy was lost, see the report"),
    ("export:*", "how an exported file is understood"),
    ("samples:*", "what the scores are made of"),
    ("environment:*", "where and when it ran"),
)


def meaning(name: str) -> str:
    """What the number called `name` is, in one line; empty where nobody has said so.

    >>> meaning("energy.lemaire2022.snn_j")
    'joules of the spiking network per inference, modelled by lemaire2022'
    """
    if found := re.fullmatch(r"energy\.(?:(?P<model>.+)\.)?(?P<network>[a-z_]+)_j", name):
        model = found["model"] or "the headline's model"
        return f"joules of {_NETWORKS.get(found['network'], found['network'])} per inference, modelled by {model}"
    at, _, path = name.partition("@")
    return next((words for pattern, words in _MEANINGS if fnmatchcase(name, pattern)), "") or (
        meaning(f"{at}.{path.partition('.')[2]}") if path else ""
    )
