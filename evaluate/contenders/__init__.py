"""Adapters to other people's software, each optional.

nir_targets.py    simulators that import NIR: their importers, run step by step
nir_restated.py   the same NIR graph in the conventions that an importer assumes
"""
