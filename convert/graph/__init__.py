"""The network as data.

ir.py         Op, Node, Graph: a closed set of operations in topological order
semantics.py  what each operation means, and the shapes that follow
folding.py    fold(): batch norm into weights, pooling before the neuron, identities away
"""
