"""The laws: one file per neuron family, formulas as pure functions.

leaky.py      the seed neuron and its limits LIF and IF: unsigned spikes, constant quantum
graded.py     signed spikes of one or several values, negative ones against credit: one-bit signed, multi-threshold
hard_reset.py  reset to zero at a spike, for comparison
adaptive.py   signed spikes whose quantum grows with the neuron's own rate: tanh and hard tanh
families.py   which activation becomes which neuron, and the closed set of families
"""
