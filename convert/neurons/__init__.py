"""The laws: one file per neuron family, formulas as pure functions.

leaky.py      the seed neuron and its limits LIF and IF: unsigned spikes, constant quantum
adaptive.py   signed spikes whose quantum grows with the neuron's own rate: tanh and hard tanh
counting.py   signed spikes that bring a count to the level of a table: the exact mode
families.py   which activation becomes which neuron, and the closed set of families
"""
