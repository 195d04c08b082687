"""Running it.

results.py     Simulation, Settled: what comes out, the same for every engine
reference.py   step by step in float64, as the equations stand in the book: slow and obvious, the oracle
inputs.py      the input as a constant current or as Poisson spikes
engine.py      simulate(), simulate_until(): the fast path, spike for spike the same, shared among threads
relay.py       populations one after the other on all samples, for calibration: settled ones are not run again
blocks.py      one batch through time: block by block of steps, layer by layer
typed.py       graphs in the number types in which sums are exact
differences.py the functions of hybrid networks, by what they change from step to step
events/        from spike to spike, in a compiled kernel
module.py      SpikingModule: one step as an nn.Module, state in and out
kernels.py     the loops over time of one population
quiescence.py  the exact mode: until nothing can fire; its proof, its quantised network, its certificate
asynchronous.py  the same with delays and in any order, slow and obvious: the oracle of the exact mode
outstanding.py what the steps to come can still change: when a decision is final, with proof
look_ahead.py  starts repaired for each sample by a trial run
periods.py     the radix code: a period of steps for each layer, and one dense pass that gives them all
capacity.py    whether the sums of an exact or radix network are those of integers
"""
