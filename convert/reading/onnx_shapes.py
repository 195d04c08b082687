"""ONNX operators that move values without changing them, in ATen's terms; the batch axis must stay in front."""

from __future__ import annotations

import math

import numpy as np

from convert.reading.aten import Call, Refusal
from convert.reading.onnx_step import LARGEST_SIZE, Data, Step, axis_of, call_on

__all__ = ["concat", "flatten", "pad", "reduce_mean", "reshape", "squeeze", "transpose", "unsqueeze"]


def concat(step: Step) -> Call:
    """Concatenation along an axis of the sample."""
    shapes = tuple(value.shape for value in step.inputs if isinstance(value, Data))
    if len(shapes) != len(step.inputs):
        raise Refusal("concatenates the data with a constant; only data can be concatenated")
    axis = axis_of(int(step.attributes["axis"]), len(shapes[0]) + 1)
    return Call("cat", {"tensors": None, "dim": axis}, ("tensors",), shapes, shapes[0])


def flatten(step: Step) -> Call:
    """All axes of a sample in one."""
    rank = len(step.shape) + 1
    axis = int(step.attributes.get("axis", 1))
    if axis not in (1, 1 - rank):
        raise Refusal(f"flattens from axis {axis}, which mixes the batch with the sample; use Flatten(axis=1)")
    return call_on(step, "flatten", (math.prod(step.shape),))


def reshape(step: Step) -> Call:
    """The same values in another shape; the batch must stay in front."""
    target = list(step.integers("shape", 1) or ())
    full = (step.batch, *step.shape)
    if not step.attributes.get("allowzero"):
        target = [full[i] if size == 0 and i < len(full) else size for i, size in enumerate(target)]
    known = math.prod(size for size in target if size != -1)
    total = math.prod(full)
    if target.count(-1) == 1 and known > 0 and total % known == 0:
        target[target.index(-1)] = total // known
    if not target or min(target) < 1 or math.prod(target) != total or target[0] != step.batch:
        written = tuple(step.integers("shape", 1) or ())
        raise Refusal(f"reshapes samples {step.shape} to {written[:8]}, which does not keep the batch axis in front; "
                      "use Flatten, or -1 as the first size")  # fmt: skip
    return call_on(step, "reshape", tuple(target[1:]))


def squeeze(step: Step) -> Call:
    """Without axes of size 1."""
    rank = len(step.shape) + 1
    named = step.integers("axes", 1)
    if named is None and step.batch == 1:
        raise Refusal("removes the batch axis with the others of size 1; name the axes")
    full = (step.batch, *step.shape)
    axes = [i for i in range(1, rank) if full[i] == 1] if named is None else [axis_of(axis, rank) for axis in named]
    if any(axis == 0 or full[axis] != 1 for axis in axes):
        raise Refusal(f"removes axes {axes} of {('N', *step.shape)}; only axes of size 1 behind the batch can go")
    return call_on(step, "squeeze", tuple(size for i, size in enumerate(full) if i and i not in axes))


def unsqueeze(step: Step) -> Call:
    """With new axes of size 1."""
    named = step.integers("axes", 1) or ()
    rank = len(step.shape) + 1 + len(named)
    if rank > 16:
        raise Refusal(f"makes a tensor of {rank} axes; expected at most 16")
    axes = {axis_of(axis, rank) for axis in named}
    if 0 in axes or len(axes) != len(named):
        raise Refusal("puts an axis in front of the batch, or names one twice; keep the batch in front")
    sizes = iter(step.shape)
    return call_on(step, "unsqueeze", tuple(1 if i in axes else next(sizes) for i in range(1, rank)))


def reduce_mean(step: Step) -> Call:
    """Mean over axes; over all spatial ones it is global pooling."""
    rank = len(step.shape) + 1
    named = step.integers("axes", 1)
    axes = sorted({axis_of(axis, rank) for axis in named or range(rank)})
    keeps = bool(step.attributes.get("keepdims", 1))
    if not named and step.attributes.get("noop_with_empty_axes"):
        return call_on(step, "clone")
    shape = tuple(1 if i in axes else size for i, size in enumerate(step.shape, 1) if keeps or i not in axes)
    return call_on(step, "mean", shape, dim=axes, keepdim=keeps, dtype=None)


def transpose(step: Step) -> Call:
    """A permutation; one that moves only axes of size 1 is a change of shape."""
    rank = len(step.shape) + 1
    order = step.integers("perm") or tuple(reversed(range(rank)))
    if sorted(order) != list(range(rank)) or order[0] != 0:
        raise Refusal(f"moves the batch axis (perm {order[:8]}); keep the batch in front")
    shape = tuple(step.shape[axis - 1] for axis in order[1:])
    large = [axis for axis in order[1:] if step.shape[axis - 1] != 1]
    if large == sorted(large):
        return call_on(step, "reshape", shape)
    return call_on(step, "permute", shape, dims=list(order))


def pad(step: Step) -> Call:
    """Constant padding of the axes of a sample."""
    pads = step.integers("pads", 1) or ()
    value = step.attributes.get("value", step.constant(2, "constant_value"))
    rank = len(step.shape) + 1
    if len(pads) != 2 * rank or step.inputs[3:] not in ((), (None,)) or pads[0] or pads[rank]:
        raise Refusal("pads the batch, or names its axes; give one size for each side of each axis")
    if any(not 0 <= pad <= LARGEST_SIZE for pad in pads):
        raise Refusal(f"pads by {pads}; expected sizes from 0")
    pairs = [size for axis in reversed(range(1, rank)) for size in (pads[axis], pads[rank + axis])]
    number = None if value is None else float(np.asarray(value).reshape(-1)[0])
    mode = step.attributes.get("mode", b"constant").decode(errors="replace")
    return call_on(step, "pad", pad=pairs, mode=mode, value=number)
