"""Walk: from captured ATen calls to our Graph, with a row of coverage for each."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from convert.errors import GraphError
from convert.graph import ir
from convert.graph.ir import Graph, Node, Op
from convert.graph.readout import READOUTS, Head
from convert.graph.semantics import infer_shape
from convert.reading.activations import principal
from convert.reading.arrangement import MOVES, PERMUTES, PIECES, PRODUCTS, VIEWS, arranged, carried_on, fitting, piece
from convert.reading.aten import OPERATORS
from convert.reading.attention import ATTENTION, attention, is_guard
from convert.reading.calls import Call, Chain, Refusal
from convert.reading.captured import Captured, operator_of, place_of
from convert.reading.coverage import Coverage, describe_node, say_what_is_analog
from convert.reading.fixed import computed
from convert.reading.layouts import Layout
from convert.reading.refusals import reason
from convert.reading.torch_compounds import spelled_out
from convert.reading.wiring import order

__all__ = ["Walk"]


class Walk:
    """One walk over the captured calls."""

    def __init__(self, captured: Captured) -> None:
        self.captured, self.batch = captured, captured.batch
        self.values: dict[str, Any] = {}
        """fx name -> name of our node (data path) or the tensor itself (constants)."""
        self.nodes: list[Node] = []
        self.rows: list[Coverage] = []
        self.row_of: dict[str, int] = {}
        """Name of our node -> number of its row."""
        self.layouts: dict[str, Layout] = {}
        """Fx name -> where its batch lies, if that is not in front."""
        self.pieces: dict[str, fx.Node] = {}
        """Fx names of calls that give several parts of a tensor."""
        self.guards: set[str] = set()
        """Fx names of what asks for infinite values."""
        self.heads: list[Head] = []
        self.compounds = spelled_out(captured.graph, captured.constants)
        self.readouts: dict[str, str] = {}
        """fx name -> the function of the read-out that it has behind it."""

    def read(self) -> tuple[Graph | None, list[Coverage]]:
        """The graph, or None where something was refused, and the coverage rows."""
        output = None
        for node in self.captured.graph.nodes:
            if node.op == "placeholder":
                self._placeholder(node)
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                output = self._output()
        refused = any(row.fate == "refused" for row in self.rows)
        if refused or output is None:
            return None, self.rows
        if self.batch == 1:
            why = "the code fixes a batch of one; the graph was checked sample by sample"
            self.rows.append(Coverage("forward", "batch of one", "dropped", "any batch", why))
        graph = Graph(tuple(self.nodes), output)
        say_what_is_analog(self.rows, graph, self.row_of)
        return graph, self.rows

    def _placeholder(self, node: fx.Node) -> None:
        if node.name in self.captured.constants:
            self.values[node.name] = self.captured.constants[node.name]
            return
        shape = tuple(node.meta["val"].shape[1:])
        self.nodes.append(Node("input", ir.Input(shape), (), shape, "input"))
        self.values[node.name] = "input"

    def _output(self) -> str | None:
        """The node of all outputs together; a head for each where there are several, or where one is transformed."""
        found = [(title, value) for title, value in self.captured.returned if isinstance(value, fx.Node)]
        names = [self.values.get(value.name) for _, value in found]
        if not found:
            self.rows.append(Coverage("output", "nothing", "refused", "", "expected a tensor; return the last layer's"))
            return None
        for (title, value), name in zip(found, names, strict=True):
            if not isinstance(name, str):
                if value.name not in self.values or name is not None:
                    self._refuse_output(title, "does not depend on the input; return only what the network computes")
                continue
            if value.name in self.layouts:
                why = "moves or mixes the batch axis and does not bring it back; keep the batch in front"
                self._refuse_output(title, why)
                return None
            shape = next(n.shape for n in self.nodes if n.name == name)
            self.heads.append(Head(title, shape, self.readouts.get(value.name, "identity")))
        kept = [name for name in names if isinstance(name, str)]
        if len(kept) < len(names) or any(name == "input" for name in kept):
            if len(found) > 1 and "input" in kept:
                self._refuse_output("input", "is returned unchanged; return only what the network computes")
            return None
        if len(kept) > 1:
            return self._joined(kept)
        if self.heads[0].readout == "identity":
            self.heads.clear()
        else:
            self.heads[0] = replace(self.heads[0], name="")
        return kept[0]

    def _refuse_output(self, title: str, why: str) -> None:
        self.rows.append(Coverage(f"output {title}".strip(), "output", "refused", "", why))

    def _joined(self, names: list[str]) -> str:
        """One output of several: flattened and concatenated."""
        flat = []
        for i, name in enumerate(names):
            shape = next(n.shape for n in self.nodes if n.name == name)
            if len(shape) != 1:
                title = f"output_{i}_flat"
                self.nodes.append(Node(title, ir.Reshape((math.prod(shape),)), (name,), (math.prod(shape),), "output"))
                name = title
            flat.append(name)
        width = sum(head.width for head in self.heads)
        self.nodes.append(Node("outputs", ir.Concat(0), tuple(flat), (width,), "output"))
        titles = ", ".join(head.name for head in self.heads)
        self.rows.append(Coverage("output", f"{len(flat)} outputs", "exact linear", "heads of one read-out", titles))
        return "outputs"

    def _call(self, node: fx.Node) -> None:
        place, name = place_of(node), str(node.target).removeprefix("aten.").removesuffix(".default")
        if self._spelled_out(node, place):
            return
        if self._behind_refusal(node):
            self.values[node.name] = None
            self.rows.append(Coverage(place, name, "not reached", "", "behind a refused operation"))
            return
        try:
            if self._computed_now(node) or self._moved_to_the_readout(node, place, name) or self._guards(node):
                return
            with fitting():
                done = self._arranged(node, place, name) or self._attends(node, place, name)
            if done:
                return
            call = self._bind(node)
            ops = OPERATORS[call.operator](call)
        except Refusal as refusal:
            self.rows.append(Coverage(place, name, "refused", "", str(refusal)))
            self.values[node.name] = None
            return
        self._append(node, ops if isinstance(ops, Chain) else Chain((ops,)), place, name)
        if str(node.target).split(".")[1].endswith("_"):  # in place: from here on its argument has this value
            self.values[node.all_input_nodes[0].name] = self.values[node.name]

    def _spelled_out(self, node: fx.Node, place: str) -> bool:
        """Whether the call is part of an activation that the model spells out; its last call becomes that."""
        whole = self.compounds.get(node.name)
        source = None if whole is None else self.values.get(whole.part.source)
        if whole is None or not isinstance(source, str):
            return False
        if node.name == whole.part.names[-1]:
            shape = next(n.shape for n in self.nodes if n.name == source)
            call = Call(whole.operator, {"self": None, **whole.arguments}, ("self",), (shape,), shape)
            op = OPERATORS[whole.operator](call)
            self._append(node, Chain((op,)) if not isinstance(op, Chain) else op, place, whole.title, (source,))
        return True

    def _append(self, node: fx.Node, ops: Chain, place: str, name: str, given: tuple[str, ...] = ()) -> None:
        """Our nodes for one of the model's, and its row."""
        source: tuple[str, ...] = given or tuple(self.values[n] for n in self._data_names(node))
        main = principal(ops)
        for i, op in enumerate(ops):
            title = node.name if i == 0 else f"{node.name}_part{i}"
            shapes = [n.shape for name in source for n in self.nodes if n.name == name]
            self.nodes.append(Node(title, op, source, infer_shape(op, *shapes), place))
            if op is main:
                self.row_of[title] = len(self.rows)
            source = (title,)
        recorded = self._layout(node).sample
        if self.nodes[-1].shape != recorded:
            raise GraphError(
                f"{place}: {name} is recorded with samples of shape {recorded}, but gives {self.nodes[-1].shape}; "
                "expected a graph that fits together: capture it again"
            )
        self.rows.append(describe_node(place, name, main))
        self.values[node.name] = source[0]
        behind = [self.readouts[n.name] for n in node.all_input_nodes if n.name in self.readouts]
        if behind:
            self.readouts[node.name] = behind[0]

    def _computed_now(self, node: fx.Node) -> bool:
        """Do at once what depends on fixed tensors only, such as the transposition of a weight."""
        value = computed(node, self.values, self.captured.from_file)
        if value is not None:
            self.values[node.name] = value
        return value is not None

    def _moved_to_the_readout(self, node: fx.Node, place: str, name: str) -> bool:
        """Take a softmax, log-softmax or sigmoid at the very end out of the graph."""
        operator = _readout(node)
        if operator not in READOUTS or not _ends_here(node):
            return False
        source = self.values.get(node.all_input_nodes[0].name)
        shape = tuple(node.meta["val"].shape)
        if not isinstance(source, str) or node.all_input_nodes[0].name in self.readouts:
            return False
        if operator != "sigmoid":
            width, axis = math.prod(shape[1:]), int(node.args[1]) % len(shape)  # type: ignore[arg-type]
            if axis == 0 or shape[axis] != width:
                raise Refusal(f"a softmax over axis {axis} of {shape[1:]}; only one over all values of a sample can go "
                              "to the read-out: remove it")  # fmt: skip
            if width == 1:
                raise Refusal("a softmax over a single value is always 1; use a sigmoid, or two outputs")
        why = {
            "sigmoid": "moved to the read-out: it keeps the order of the values; above 0.5 means above 0 before it",
            "softmax": "moved to the read-out: it keeps the order of the values, so the class is the same",
        }["sigmoid" if operator == "sigmoid" else "softmax"]
        self.rows.append(Coverage(place, name, "dropped", f"{operator} of the read-out", why))
        self.values[node.name], self.readouts[node.name] = source, operator
        return True

    def _behind_refusal(self, node: fx.Node) -> bool:
        """Whether an input was refused; the operation is then only named if it would be refused as well."""
        refused = any(n.name in self.values and self.values[n.name] is None for n in node.all_input_nodes)
        supported = operator_of(node) in (*OPERATORS, *PRODUCTS, *MOVES) or (
            _readout(node) in READOUTS and _ends_here(node)
        )
        return refused and (supported or not isinstance(node.target, torch._ops.OpOverload))

    def _data_names(self, node: fx.Node) -> list[str]:
        """Fx names of the arguments on the data path, in order, repeats kept."""
        found: list[str] = []

        def visit(arg: fx.Node) -> fx.Node:
            if isinstance(self.values.get(arg.name), str):
                found.append(arg.name)
            return arg

        fx.node.map_arg((node.args, node.kwargs), visit)
        return found

    def _layout(self, node: fx.Node) -> Layout:
        return self.layouts.get(node.name) or Layout.of(node.meta["val"].shape, self.batch)

    def _guards(self, node: fx.Node) -> bool:
        """Whether the call is part of what decomposed attention does for rows of infinite values."""
        operator, sources = operator_of(node), node.all_input_nodes
        if operator == "where" and len(sources) == 3 and {n.name for n in sources[:2]} <= self.guards:
            self.values[node.name] = self.values[sources[2].name]
            if sources[2].name in self.layouts:
                self.layouts[node.name] = self.layouts[sources[2].name]
            return True
        starts = operator in ("eq", "full_like") and len(sources) == 1
        if (starts or (sources and sources[0].name in self.guards)) and is_guard(operator, node.args):
            self.guards.add(node.name)
            return True
        return False

    def _arranged(self, node: fx.Node, place: str, name: str) -> bool:
        """Whether the call moves values, and the batch with them; then it has been read."""
        operator, whole = operator_of(node), node
        if "getitem" in str(node.target) and node.all_input_nodes[0].name in self.pieces:
            whole = self.pieces[node.all_input_nodes[0].name]
            operator = operator_of(whole)
        sources = self._data_names(whole)
        if operator not in MOVES or len(sources) != 1 or not isinstance(whole.target, torch._ops.OpOverload):
            return False
        source = whole.all_input_nodes[0]
        layout = self._layout(source)
        arguments, _ = self._arguments(whole, whole.target)
        if operator in PIECES and whole is node:
            self.pieces[node.name] = node
            return True
        if not isinstance(node.meta.get("val"), Tensor):
            return False
        if whole is not node:
            found = piece(operator, arguments, layout, _index(node))
        else:
            shape = tuple(node.meta["val"].shape)
            moved = operator in VIEWS and shape[:1] != (self.batch,)
            moved = moved or (operator in PERMUTES and order(operator, arguments, len(layout.axes))[0] != 0)
            if layout.is_usual and not moved and operator in OPERATORS:
                return False
            result = arranged(operator, arguments, layout, shape)
            if result is None:
                return False
            found = result
        self._append_arranged(node, source.name, found, place, name)
        return True

    def _append_arranged(
        self, node: fx.Node, source: str, found: tuple[Layout, list[Op]], place: str, name: str
    ) -> None:
        layout, ops = found
        if layout.shape != tuple(node.meta["val"].shape):
            raise GraphError(
                f"{place}: {name} is recorded with shape {tuple(node.meta['val'].shape)}, but gives {layout.shape}; "
                "expected a graph that fits together: capture it again"
            )
        if not layout.is_usual:
            self.layouts[node.name] = layout
        self._append(node, Chain(ops or [ir.Identity()]), place, name, (self.values[source],))

    def _attends(self, node: fx.Node, place: str, name: str) -> bool:
        """Whether the call is attention, which is several operations; then it has been read."""
        if operator_of(node) != "scaled_dot_product_attention":
            return False
        call = self._bind(node)
        given = [self.values[n] for n in self._data_names(node)]
        made: list[str] = []
        for i, step in enumerate(attention(call)):
            inputs = tuple(given[k] if k >= 0 else made[-1 - k] for k in step.inputs)
            title = f"{node.name}_part{i}"
            shapes = [next(n.shape for n in self.nodes if n.name == name) for name in inputs]
            self.nodes.append(Node(title, step.op, inputs, infer_shape(step.op, *shapes), place))
            made.append(title)
        self.values[node.name] = made[-1]
        self.row_of[made[-1]] = len(self.rows)
        self.rows.append(Coverage(place, name, "hybrid", ATTENTION))
        return True

    def _bind(self, node: fx.Node) -> Call:
        """The call with its arguments by name and its shapes checked, or a Refusal."""
        target = node.target
        if not isinstance(target, torch._ops.OpOverload):
            raise Refusal("not a tensor operation; only straight tensor code can be converted")
        operator = operator_of(node)
        if any(n.name in self.guards for n in node.all_input_nodes):
            raise Refusal("reads which values are infinite, or a tensor of zeros; only attention may: remove it")
        if operator not in OPERATORS and operator not in PRODUCTS:
            raise Refusal(reason(operator))
        value = node.meta.get("val")
        if not isinstance(value, Tensor):
            raise Refusal("returns several tensors")
        arguments, data = self._arguments(node, target)
        if not data:
            raise Refusal("does not depend on the input; compute it before saving")
        by_name = {n.name: n for n in node.all_input_nodes}
        layouts = [self._layout(by_name[n]) for n in self._data_names(node)]
        if not all(layout.is_usual for layout in layouts) or (operator in PRODUCTS and len(data) > 1):
            with fitting():
                layout, arguments = carried_on(operator, arguments, layouts, tuple(value.shape))
            if not layout.is_usual:
                self.layouts[node.name] = layout
        elif value.ndim == 0 or value.shape[0] != self.batch:
            raise Refusal(f"moves or mixes the batch axis (its result has shape {tuple(value.shape)} "
                          f"for a batch of {self.batch}); keep the batch in front")  # fmt: skip
        shapes = tuple(n.shape for name in self._data_names(node) for n in self.nodes if n.name == self.values[name])
        return Call(operator, arguments, data, shapes, self._layout(node).sample)

    def _arguments(self, node: fx.Node, target: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        arguments: dict[str, Any] = {}
        data: list[str] = []
        for i, parameter in enumerate(target._schema.arguments):
            raw = node.args[i] if i < len(node.args) else node.kwargs.get(parameter.name, parameter.default_value)
            if isinstance(raw, fx.Node):
                value = self.values.get(raw.name)
                if isinstance(value, str):
                    data.append(parameter.name)
                arguments[parameter.name] = None if isinstance(value, str) else value
            else:
                if isinstance(raw, (list, tuple)) and any(isinstance(item, fx.Node) for item in raw):
                    data.append(parameter.name)
                    raw = [self.values.get(item.name) for item in raw]
                    raw = [None if isinstance(value, str) else value for value in raw]
                arguments[parameter.name] = raw
        return arguments, tuple(data)


def _index(node: fx.Node) -> int:
    """Which of several tensors `operator.getitem` takes."""
    index = node.args[1]
    assert isinstance(index, int)  # torch.export and our reader of its files make no other
    return index


def _readout(node: fx.Node) -> str:
    """The same name as the read-out spells it."""
    return operator_of(node).removeprefix("_").removeprefix("special_")


def _ends_here(node: fx.Node) -> bool:
    """Whether nothing but reshaping lies between `node` and the output."""
    passing = {"view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten", "contiguous", "clone", "alias"}
    return all(user.op == "output" or (operator_of(user) in passing and _ends_here(user)) for user in node.users)
