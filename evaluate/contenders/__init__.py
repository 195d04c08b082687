"""Adapters to other people's software, each optional.

nir_targets.py         simulators that import NIR: their importers, run step by step
nir_restated.py        the same NIR graph in the conventions that an importer assumes
peers.py               converters that are timed against ours, by name
adapters.py            ten lines for each: what the conformance suite asks of a converter
methods.py             their ways to convert, as the leaderboard names them
stepped.py             such a network run step by step, its spikes counted
prepared.py            what an adapter to one of them makes: a network that is ready to run
spikingjelly_rates.py  spikingjelly's rate coding
sinabs_rates.py        sinabs, from torch
"""
