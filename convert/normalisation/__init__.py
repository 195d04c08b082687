"""Activations to thresholds, thresholds to a normalised network.

statistics.py   observe(): streaming statistics per channel or neuron; the result does not depend on batch size or order
rules.py        max, percentile, mse, threshold iteration, local balancing: statistics -> thresholds
spike_norm.py   thresholds from the charge that arrives in the spiking network itself
granularity.py  where a threshold can be for each neuron
resolution.py   what a leak hides, and which layers it concerns
moments.py      statistics from batch norms, when there is no data
bounds.py       thresholds from the weights alone, when there is neither
calibration.py  calibrate_potentials(), calibrate_biases(): layer by layer in depth order
scaling.py      normalise(): weights and biases in units of the thresholds, on the lattice
quantisation.py quantise(): a graph with levels in the place of activations, for the exact mode
"""
