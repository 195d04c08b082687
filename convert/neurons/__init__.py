"""The laws: one file per neuron family, formulas as pure functions.

leaky.py      the seed neuron and its limits LIF and IF: unsigned spikes, constant quantum
graded.py     signed spikes of one or several values, negative ones against credit: one-bit signed, multi-threshold
burst.py      several plain spikes in one step
hard_reset.py  reset to zero at a spike, for comparison
adaptive.py   signed spikes whose quantum grows with the neuron's own rate: tanh and hard tanh
tracking.py   signed spikes whose count stays on a curve of the charge: leaky ReLU, sigmoid, GELU and all others
pieces.py     a curve as a table of straight pieces
counting.py   signed spikes that bring a count to the level of a table: the exact mode
radix.py      one binary digit in each step of a period
families.py   which activation becomes which neuron, and the closed set of families
"""
