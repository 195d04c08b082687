"""The events engine: a layer costs what its spikes cost.

events.cpp      the compiled kernel: lists of rows that spiked, sums of rows, neurons in registers; events_*.cpp compile
                it once for each instruction set
library.py      finding and calling it
wiring.py       which nodes it can compute: from the graph to connections between populations
weights.py      connections to the kernel's weight tiles
planes.py       spikes as bit planes
populations.py  state and one block of steps of a population
curves.py       the loop of neurons on a curve, all of which work in every step
"""
