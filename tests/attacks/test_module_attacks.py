"""Files of torch.save whose layers, weights or bytes are broken: a finite network or one named error."""

import os
import random
import warnings
import zipfile
from collections import OrderedDict

import pytest
import torch
from torch import nn

from convert.errors import (
    ConvertError,
    CorruptFileError,
    IncompleteModelError,
    LoadError,
    MissingFileError,
    NonFiniteWeightError,
    UnknownFormatError,
    UnsafeFileError,
)
from convert.reading.sources import identify
from convert.reading.torch_file import load_module
from convert.reading.tracing import trace
from tests.attacks import torch_files
from tests.attacks.reading_torch import read, refused, saved
from tests.attacks.torch_files import network


@pytest.mark.parametrize("name", ["forward", "eval", "float", "_apply", "state_dict", "__call__", "train"])
def test_an_attribute_in_the_place_of_a_method_is_refused(name, tmp_path):
    model = network()
    model[0].__dict__[name] = "something"
    assert f"{name} replaces a method" in refused(saved(tmp_path, model), UnsafeFileError)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_forward_hooks", 5), ("_forward_pre_hooks", "x"), ("_backward_hooks", [1]), ("_modules", 3),
        ("_modules", {1: 2}),
        ("_parameters", [1]), ("_parameters", {"weight": 1.0}), ("_buffers", None), ("_modules", {"x": torch.ones(2)}),
        ("_conv_forward", "x"), ("training", "yes"), ("_non_persistent_buffers_set", 7), ("__class__", "x"),
        ("__dict__", 1), (3, 4), ("extra", {"a": 1}), ("extra", torch.ones(2)), ("extra", {1}), ("extra", b"x"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_state_that_no_layer_has_is_a_named_error_or_harmless(name, value, tmp_path):
    model = nn.Sequential(nn.Conv1d(1, 1, 1), nn.Flatten(), nn.ReLU(), nn.Linear(8, 2))
    model[0].__dict__[name] = value
    path = saved(tmp_path, model)
    try:
        module = load_module(identify(path))
        trace(module, (1, 8))
    except ConvertError as error:
        assert len(str(error)) < 700
    else:
        assert torch.isfinite(module(torch.ones(1, 1, 8))).all()


@pytest.mark.parametrize("name", ["_modules", "_parameters", "_buffers", "weight", "bias"])
def test_a_layer_that_lacks_a_part_is_refused(name, tmp_path):
    model = network()
    state = model[0].__dict__
    del (state if name in state else state["_parameters"])[name]
    refused(saved(tmp_path, model))


@pytest.mark.parametrize("name", ["in_features", "_forward_hooks_with_kwargs", "_non_persistent_buffers_set"])
def test_a_layer_of_an_older_version_that_lacks_what_nobody_needs_is_read(name, tmp_path):
    model = network()
    del model[0].__dict__[name]
    read(saved(tmp_path, model))


def test_a_module_that_contains_itself_is_refused(tmp_path):
    model = network()
    model[0]._modules["again"] = model
    assert "model.0.again contains itself" in refused(saved(tmp_path, model), CorruptFileError)


def test_a_value_that_contains_itself_is_refused(tmp_path):
    model, circle = network(), []
    circle.append(circle)
    model[0].extra = circle
    refused(saved(tmp_path, model), CorruptFileError)


def test_layers_nested_too_deep_are_refused(tmp_path):
    """A pickle writes itself without recursion, so no depth is safe to assume."""

    def layer(inner: bytes) -> bytes:
        table = b"ccollections\nOrderedDict\n)R"
        parts = b"".join(torch_files.text(n) + table + b"s" for n in ("_parameters", "_buffers"))
        modules = torch_files.text("_modules") + table + (torch_files.text("0") + inner + b"s" if inner else b"") + b"s"
        return b"ctorch.nn.modules.container\nSequential\n)\x81}" + parts + modules + b"b"

    content = b""
    for _ in range(3000):
        content = layer(content)
    path = tmp_path / "model.pt"
    torch_files.assembled(path, b"\x80\x02" + content + b".")
    refused(path, CorruptFileError)
    shallow = tmp_path / "shallow.pt"
    torch_files.assembled(shallow, b"\x80\x02" + layer(layer(b"")) + b".")
    assert len(list(load_module(identify(shallow)).modules())) == 2


@pytest.mark.parametrize(
    "weight",
    [
        torch.empty(6, 8, device="meta"), torch.eye(6, 8).to_sparse(), torch.ones(6, 8, dtype=torch.complex64),
        torch.ones(6, 8, dtype=torch.int64), torch.ones(6, 8, dtype=torch.bool), torch.ones(6, 7), torch.ones(()),
        torch.ones(0, 8), torch.ones(6, 8, 1), torch.ones(6, 8, dtype=torch.uint8),
        torch.full((6, 8), float("inf")), torch.full((6, 8), float("nan")), torch.full((6, 8), 3e38),
    ],
    ids=lambda w: f"{w.dtype} {w.layout} {tuple(w.shape)} {w.device}",
)  # fmt: skip
def test_weights_of_another_kind_are_a_named_error(weight, tmp_path):
    model = network()
    model[0].weight = nn.Parameter(weight, requires_grad=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = saved(tmp_path, model)
    with pytest.raises(ConvertError) as caught:
        read(path)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_in_other_precisions_are_read(dtype, tmp_path):
    assert {p.dtype for p in read(saved(tmp_path, network().to(dtype))).parameters()} == {torch.float32}


def test_not_a_number_among_the_weights_is_refused_by_name(tmp_path):
    model = network()
    model[2].weight.data[0, 1] = float("nan")
    with pytest.raises(NonFiniteWeightError, match=r"2\.weight \(1 of 18\)"):
        read(saved(tmp_path, model))


def test_a_storage_that_claims_more_bytes_than_its_member_has_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    honest = saved(tmp_path, network(), "honest.pt")
    with zipfile.ZipFile(honest) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("data.pkl")]
        pickled = archive.read(name)
    assert pickled.count(b"K\x30") == 1  # 48 values of the first weight
    torch_files.rewritten(
        honest, path, lambda p: p.replace(b"K\x30", b"M\xff\xff").replace(b"K\x06K\x08\x86", b"K\xffK\x80\x86")
    )
    refused(path, CorruptFileError)


@pytest.mark.parametrize("percent", range(0, 100, 5))
@pytest.mark.parametrize("form", ["archive", "legacy"])
def test_truncated_files_are_refused(percent, form, tmp_path):
    path = saved(tmp_path, network())
    whole = path.read_bytes() if form == "archive" else torch_files.legacy(network())
    path.write_bytes(whole[: len(whole) * percent // 100])
    refused(path, LoadError)


def test_a_flipped_bit_gives_a_finite_network_or_a_named_error(tmp_path):
    path = saved(tmp_path, network())
    whole = path.read_bytes()
    chance = random.Random(1)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            module = read(path)
        except ConvertError as error:
            outcomes["refused"] += 1
            assert len(str(error)) < 2000
        else:
            outcomes["read"] += 1
            assert all(torch.isfinite(p).all() for p in module.parameters())
    assert min(outcomes.values()) > 20, outcomes


@pytest.mark.parametrize("member", ["data.pkl", "data/0", "version"])
def test_a_compressed_member_is_refused_unread(member, tmp_path):
    path = tmp_path / "model.pt"
    torch_files.rewritten(saved(tmp_path, network(), "honest.pt"), path, lambda p: p, compressed=member)
    assert "is compressed" in refused(path, UnsafeFileError)


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", CorruptFileError, "empty"),
        (b"import torch\n", UnknownFormatError, "not a model file"),
        (b"\x00" * 100, UnknownFormatError, "not a model file"),
        (b"PK\x03\x04 not really", CorruptFileError, "truncated or damaged"),
        (b"PK", CorruptFileError, "truncated or damaged"),
        (b"\x80", LoadError, "damaged"),
        (b"\x80\x02N.", LoadError, "model.pt"),
        (b"\x89HDF\r\n\x1a\n" + b"\x00" * 64, UnknownFormatError, "not a model file"),
        (b"\xff" * 8 + b"{}", CorruptFileError, "safetensors"),
        (b"\x02" + b"\x00" * 7 + b"[]", LoadError, "model.pt"),
        (b"\x02" + b"\x00" * 7 + b"{}", LoadError, ""),
    ],
)
def test_files_that_are_no_models_are_refused(content, error, said, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(error) as caught:
        source = identify(path)
        load_module(source)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_is_not_a_file_is_refused(tmp_path):
    assert "no such file" in refused(tmp_path / "missing.pt", MissingFileError)
    assert "not a file" in refused(tmp_path, MissingFileError)
    broken = tmp_path / "link.pt"
    broken.symlink_to(tmp_path / "nowhere")
    refused(broken, MissingFileError)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser reads everything")
def test_a_file_without_permission_is_refused(tmp_path):
    path = saved(tmp_path, network())
    path.chmod(0)
    refused(path, MissingFileError)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (network().state_dict(), "a state_dict (4 entries: 0.weight, 0.bias, 2.weight, 2.bias)"),
        ({"epoch": 3, "state_dict": network().state_dict()}, "a checkpoint (2 entries: epoch, state_dict)"),
        (OrderedDict(a=torch.ones(2)), "a state_dict"),
        ({}, "0 entries"),
    ],
    ids=str,
)
def test_weights_without_a_network_are_refused_with_the_way_out(value, said, tmp_path):
    message = refused(saved(tmp_path, value), IncompleteModelError)
    assert said in message
    assert "torch.save(model, 'model.pt')" in message


def test_a_network_inside_a_checkpoint_is_found(tmp_path):
    x = torch.rand(3, 8)
    module = read(saved(tmp_path, {"epoch": 3, "model": network()}))
    assert torch.equal(module(x), network()(x))


@pytest.mark.parametrize(
    "value", [[network()], torch.ones(3), nn.Parameter(torch.ones(3)), 3, None, "model", (1, 2)], ids=repr
)
def test_something_else_than_a_network_is_refused(value, tmp_path):
    assert "expected an nn.Module" in refused(saved(tmp_path, value), LoadError)


def test_a_torchscript_archive_is_refused_by_name(tmp_path):
    path = tmp_path / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network(), torch.zeros(1, 8)), path)
    with pytest.raises(ConvertError, match="TorchScript"):
        read(path)


def test_a_zip_archive_of_something_else_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.jpg", b"x")
    assert "without a model (members: photo.jpg)" in refused(path, UnknownFormatError)
    with zipfile.ZipFile(path, "w"):
        pass
    refused(path, UnknownFormatError)
