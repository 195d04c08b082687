"""Activations to thresholds, thresholds to a normalised network.

statistics.py   observe(): streaming statistics per channel; the result does not depend on batch size or order
rules.py        max, percentile, mse, threshold iteration, local balancing: statistics -> thresholds
spike_norm.py   thresholds from the charge that arrives in the spiking network itself
bounds.py       thresholds from the weights alone, when there is no data
calibration.py  calibrate_potentials(), calibrate_biases(): layer by layer in depth order
scaling.py      normalise(): weights and biases in units of the thresholds, on the lattice
quantisation.py quantise(): a graph with levels in the place of activations, for the exact mode
"""
