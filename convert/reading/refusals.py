"""Why an operation has no spiking counterpart here, and what to do instead: a sentence for each of the known ones."""

from __future__ import annotations

__all__ = ["SUPPORTED", "reason"]

_ACTIVATION = "an activation without a neuron here; replace it and train again"
_RECURRENT = "a recurrent layer; only feed-forward networks can be converted: unroll it, or convert the part without it"
_ATTENTION = "attention in a form of its own; write F.scaled_dot_product_attention, or matmul and softmax"
_DYNAMIC = "normalises with statistics of each sample; use batch_norm, which is folded into weights"
_PICK = "picks values by an index; supported: select, slices, chunk, split and unbind of axes of a sample"
_RESAMPLE = "enlarges its input; not supported yet: convert the part without it"
_SPACE = "three dimensions or transposed; supported: conv1d, conv2d and pooling in one or two dimensions"

_REASONS: dict[str, str] = {
    **dict.fromkeys(
        ("glu", "abs", "sqrt", "exp", "log", "pow", "square", "sin", "cos", "sign", "erf", "reciprocal"), _ACTIVATION,
    ),
    **dict.fromkeys(
        ("log_softmax", "_log_softmax"),
        "a softmax inside the network has no spiking counterpart; one over all values of an output, at the very end, "
        "goes to the read-out: remove this one",
    ),
    **dict.fromkeys(("lstm", "gru", "rnn", "rnn_tanh", "rnn_relu"), _RECURRENT),
    **dict.fromkeys(
        ("_native_multi_head_attention", "_transformer_encoder_layer_fwd", "baddbmm", "einsum"), _ATTENTION
    ),
    **dict.fromkeys(("group_norm", "instance_norm", "rms_norm", "local_response_norm"), _DYNAMIC),
    **dict.fromkeys(("index", "gather", "index_select", "take"), _PICK),
    **dict.fromkeys(("upsample_nearest2d", "upsample_bilinear2d", "pixel_shuffle", "interpolate"), _RESAMPLE),
    **dict.fromkeys(
        ("conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "max_pool3d", "avg_pool3d"), _SPACE
    ),
    **dict.fromkeys(
        ("adaptive_max_pool1d", "adaptive_max_pool2d"), "write it as max_pool with a kernel, which is supported"
    ),
    **dict.fromkeys(("rand_like", "randn_like", "bernoulli"), "is random at inference; remove it"),
    **dict.fromkeys(
        ("floor", "round", "ceil", "trunc"),
        "rounds, but not as lam / L clamp(floor(L x / lam + 1/2), 0, L) with one lam for the layer (QCFS), which has a "
        "neuron; write it so, or use ReLU",
    ),
    "embedding": "looks up a table by an index; expected real inputs: convert the part behind it",
}  # fmt: skip

_OTHERS = "has no spiking counterpart here; replace or remove it"

SUPPORTED = (
    "supported: linear, conv1d/2d, batch_norm, average and max pooling, pad, permute, slices, add, cat, flatten; as "
    "neurons ReLU, ReLU6, leaky and parametric ReLU, hard tanh, tanh, sigmoid, hard sigmoid, GELU, SiLU, hard swish, "
    "Mish, ELU, SELU, CELU, softplus, softsign, log sigmoid, soft, hard and tanh shrink, clamp(0, h), clamp(-h, h); "
    "with --hybrid layer_norm, softmax, products of two inputs, attention"
)
"""Said once below all refusals."""


def reason(operator: str) -> str:
    """The sentence for an ATen operator that has no entry in our tables.

    >>> reason("glu")[:44]
    'an activation without a neuron here; replace'
    """
    return _REASONS.get(operator, _OTHERS)
