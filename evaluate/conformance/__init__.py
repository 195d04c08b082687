"""Does a converter do what it says? Tiny networks with answers known in closed form, for any converter.

contract.py        what an adapter is, what a check is, how one is judged
drives.py          the calibration that makes every threshold 1, and weights written as lists
neuron_checks.py   spike counts, saturation, reset, leak, debts
layer_checks.py    bias, batch norm, borders, scales, pooling, residual, silence
honesty_checks.py  what must be converted or refused, never passed on silently
scoring.py         all checks on one adapter
table.py           the result for the terminal
"""
