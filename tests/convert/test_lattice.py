import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.graph import ir
from convert.graph.ir import Graph, Node
from convert.graph.semantics import apply
from convert.lattice import BITS, Carried, carried, coarsest, snap
from tests.oracles.conversions import converted, folded, spiking
from tests.oracles.networks import NETWORKS, samples


@given(values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), bits=st.integers(0, 20))
def test_snap_finds_the_nearest_multiple_and_stays_there(values, bits):
    x = torch.tensor(values, dtype=torch.float64)
    snapped = snap(x, bits)
    assert torch.equal(snapped * 2**bits, (snapped * 2**bits).round())
    assert bool(((snapped - x).abs() <= 2.0 ** -(bits + 1)).all())
    assert torch.equal(snap(snapped, bits), snapped)
    assert snapped.dtype == torch.float64


def test_snap_breaks_ties_to_even():
    assert snap(torch.tensor([0.125, 0.375, -0.125, -0.375]), 2).tolist() == [0.0, 0.5, 0.0, -0.5]


@given(bound=st.floats(0, 1e9))
def test_coarsest_keeps_sums_inside_float32_while_it_can(bound):
    bits = coarsest(bound)
    assert 8 <= bits <= BITS
    fits = Carried(bits, bound).dtype == torch.float32
    assert fits == (bound <= 2.0**16)
    if bits < BITS and fits:
        assert Carried(bits + 1, bound).dtype == torch.float64  # not coarser than it has to be


def test_what_lies_on_no_lattice_is_summed_in_float64():
    assert Carried(None, 1e-9).dtype == torch.float64
    assert Carried(0, 2.0**24).dtype == torch.float32
    assert Carried(0, 2.0**24 + 2).dtype == torch.float64
    assert Carried(16, float("inf")).dtype == torch.float64


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("input_code", ["constant", "poisson"])
@pytest.mark.parametrize("gain", [1.0, 300.0])
def test_what_a_node_carries_is_what_it_is_said_to_carry(name, input_code, gain):
    """On random spikes no value leaves its bound or its lattice, and float32 sums are exact in every order."""
    graph = folded(name)
    if gain != 1.0:  # a network with large weights into its last layer
        graph = Graph((*graph.nodes[:-1], _multiplied(graph.nodes[-1], gain)), graph.output)
    network = spiking(graph, samples(graph.input.shape, 32), input_code=input_code)
    known = carried(network.graph, network.spiking())
    g = torch.Generator().manual_seed(3)
    values, single = {}, {}
    for node in network.graph:
        if node.name in network.spiking():
            signed = isinstance(node.op, (ir.Tanh, ir.Input)) or (isinstance(node.op, ir.Clamp) and node.op.low < 0)
            x = torch.randint(-1 if signed else 0, 2, (16, *node.shape), generator=g)
            x[:4] = 1
            values[node.name], single[node.name] = x.double(), x.float()
            continue
        if isinstance(node.op, ir.Input):
            x = snap(torch.rand((16, *node.shape), generator=g), 16)
            values[node.name] = single[node.name] = x
            continue
        inputs = [values[i] for i in node.inputs]
        value = values[node.name] = apply(node.op, *inputs)
        claim = known[node.name]
        assert not float(value.abs().max()) > claim.bound * (1 + 1e-9), node.name
        if claim.bits is not None:
            assert torch.equal(snap(value, claim.bits), value), node.name
        if claim.dtype == torch.float32:
            op = type(node.op)(**{k: v.float() if isinstance(v, torch.Tensor) else v for k, v in vars(node.op).items()})
            got = single[node.name] = apply(op, *(single[i].float() for i in node.inputs))
            assert torch.equal(got.double(), value), node.name
            if isinstance(op, ir.WEIGHTED) and getattr(op, "groups", 1) == 1:
                order = torch.randperm(op.weight.shape[1], generator=g)
                axis = 1 if isinstance(op, ir.Conv) else -1
                turned = type(op)(**{**vars(op), "weight": op.weight[:, order].contiguous()})
                assert torch.equal(apply(turned, single[node.inputs[0]].float().index_select(axis, order)), got)
        else:
            single[node.name] = value


def _multiplied(node, gain):
    tensors = {k: gain * v for k, v in ir.tensors(node.op).items()}
    op = type(node.op)(**{**vars(node.op), **tensors})
    return Node(node.name, op, node.inputs, node.shape, node.place)


@pytest.mark.parametrize("name", ["mlp", "conv norm average", "max pool", "residual", "strided"])
def test_ordinary_networks_run_in_float32(name):
    network, _ = converted(name)
    known = carried(network.graph, network.spiking())
    behind = {n.name for n in network.graph if n.name in network.spiking()}
    for node in network.graph:
        if behind & set(node.inputs) and not isinstance(node.op, ir.Affine):
            assert known[node.name].dtype == torch.float32, node.name


@settings(deadline=None)
@given(weights=st.lists(st.floats(-1e-3, 1e-3), min_size=1, max_size=8))
def test_weights_off_the_lattice_are_never_said_to_be_on_it(weights):
    w = torch.tensor([weights], dtype=torch.float64)
    shape = (len(weights),)
    nodes = (
        Node("input", ir.Input(shape), (), shape),
        Node("s", ir.Relu(), ("input",), shape),
        Node("l", ir.Linear(w), ("s",), (1,)),
    )
    claim = carried(Graph(nodes, "l"), {"s": Carried(0, 1.0)})["l"]
    if claim.bits is not None:
        assert torch.equal(snap(w, claim.bits), w)
    if claim.dtype == torch.float32:
        assert torch.equal(w.float().double(), w)


def test_a_window_that_is_not_summed_lies_on_no_lattice():
    shape = (1, 6)
    start = Node("input", ir.Input(shape), (), shape)
    spikes = Node("s", ir.Relu(), ("input",), shape)
    for op, bits in ((ir.AvgPool((3,), (3,), (0,)), None), (ir.AvgPool((3,), (3,), (0,), divisor=1), 0),
                     (ir.AdaptiveAvgPool((4,)), None)):  # fmt: skip
        claim = carried(Graph((start, spikes, Node("p", op, ("s",), (1, 2))), "p"), {"s": Carried(0, 1.0)})["p"]
        assert claim.bits == bits
        assert claim.bound == (3.0 if bits == 0 else 1.0)


def test_the_bound_of_a_sum_is_the_sum_of_the_bounds():
    shape = (3,)
    nodes = (
        Node("input", ir.Input(shape), (), shape),
        Node("s", ir.Relu(), ("input",), shape),
        Node("l", ir.Linear(torch.full((3, 3), -2.5).double(), torch.full((3,), -0.25).double()), ("s",), shape),
        Node("sum", ir.Add(), ("l", "s"), shape),
        Node("both", ir.Concat(0), ("sum", "s"), (6,)),
        Node("gain", ir.Affine(torch.tensor(-3.0).double(), torch.tensor(0.5).double()), ("s",), shape),
    )
    known = carried(Graph(nodes, "both"), {"s": Carried(0, 1.0)})
    assert known["s"] == Carried(0, 1.0)
    assert known["l"] == Carried(2, 7.75)
    assert known["sum"] == Carried(2, 8.75)
    assert known["both"] == Carried(2, 8.75)
    assert known["gain"] == Carried(1, 3.5)
