"""Pickles of torch.save that name, call or hide what no network needs: nothing runs, one named error."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from convert.errors import (
    CorruptFileError,
    IncompleteModelError,
    LoadError,
    UnknownFormatError,
    UnsafeFileError,
)
from convert.reading.sources import identify
from convert.reading.torch_file import load_module
from tests.attacks import torch_files
from tests.attacks.reading_torch import read, refused, saved
from tests.attacks.torch_files import hiding_places, network, payloads


@pytest.fixture
def sentinel(tmp_path):
    return tmp_path / "executed"


def test_the_honest_network_that_the_attacks_start_from_is_read(tmp_path):
    x = torch.rand(3, 8)
    assert torch.equal(read(saved(tmp_path, network()))(x), network()(x))


PAYLOADS = list(payloads(Path("x")))
PLACES = list(hiding_places("x"))


@pytest.mark.parametrize("kind", PAYLOADS)
def test_the_payloads_are_live(kind, sentinel):
    pickle.loads(pickle.dumps(payloads(sentinel)[kind]))
    assert sentinel.exists()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", PAYLOADS)
def test_nothing_in_a_pickle_is_executed(kind, place, sentinel, tmp_path):
    path = saved(tmp_path, hiding_places(payloads(sentinel)[kind])[place])
    message = refused(path, UnsafeFileError)
    assert not sentinel.exists()
    assert "nothing was executed" in message
    assert {"os.system": "system", "exec": "exec"}.get(kind, "") in message


@pytest.mark.parametrize("kind", PAYLOADS)
def test_nothing_is_executed_in_files_of_other_making(kind, sentinel, tmp_path):
    payload = payloads(sentinel)[kind]
    for name, content, error in (
        ("plain", pickle.dumps(payload), LoadError),
        ("old protocol", pickle.dumps(payload, protocol=0), UnknownFormatError),
        ("protocol 2", pickle.dumps(payload, protocol=2), UnsafeFileError),
        ("legacy", torch_files.legacy(payload), UnsafeFileError),
        ("legacy module", torch_files.legacy(hiding_places(payload)["attribute"]), LoadError),
    ):
        path = tmp_path / f"{name}.pt"
        path.write_bytes(content)
        refused(path, error)
        assert not sentinel.exists(), name


def test_a_network_in_the_format_before_torch_1_6_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(torch_files.legacy(network()))
    assert "the format of torch before 1.6" in refused(path, LoadError)


def test_weights_in_the_format_before_torch_1_6_are_refused_as_weights(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(torch_files.legacy(network().state_dict()))
    refused(path, IncompleteModelError)


def test_names_that_a_file_asks_for_are_all_listed(tmp_path, sentinel):
    model = network()
    model.a, model.b = payloads(sentinel)["os.system"], payloads(sentinel)["eval"]
    message = refused(saved(tmp_path, model), UnsafeFileError)
    assert "posix.system" in message or "nt.system" in message
    assert "eval" in message


@pytest.mark.parametrize("name", torch_files.PICKLES)
def test_hand_written_pickles_are_refused(name, tmp_path):
    path = tmp_path / "model.pt"
    torch_files.assembled(path, torch_files.PICKLES[name])
    refused(path, LoadError)


@pytest.mark.parametrize("name", torch_files.PICKLES)
def test_hand_written_pickles_without_an_archive_are_refused(name, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(torch_files.PICKLES[name])
    refused(path, LoadError)


@pytest.mark.parametrize(("name", "said"), [("layer called with huge sizes", "tries to call Linear"),
                                            ("layer made with arguments", "tries to call Linear"),
                                            ("function of torch", "torch.ones")])  # fmt: skip
def test_calls_are_refused_by_name(name, said, tmp_path):
    path = tmp_path / "model.pt"
    torch_files.assembled(path, torch_files.PICKLES[name])
    assert said in refused(path, UnsafeFileError)


@pytest.mark.parametrize("hook", ["register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"])
def test_hooks_are_refused(hook, tmp_path):
    model = network()
    getattr(model[0], hook)(print)
    refused(saved(tmp_path, model), UnsafeFileError)


@pytest.mark.parametrize("table", ["_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_state_dict_hooks"])
def test_a_layer_in_the_place_of_a_hook_is_refused(table, tmp_path):
    """Layers can be called, so a hook made of them would run without asking for anything forbidden."""
    model = network()
    getattr(model[0], table)[0] = nn.Tanh()
    message = refused(saved(tmp_path, model), UnsafeFileError)
    assert f"model.0.{table} holds" in message


@pytest.mark.parametrize("shape", [(10**6, 10**6), (10**12,), (2**31, 2**31)])
@pytest.mark.parametrize("where", ["parameter", "buffer"])
def test_tensors_that_declare_more_values_than_the_file_holds_are_refused(shape, where, tmp_path):
    model, huge = network(), torch.zeros(1).expand(shape)
    if where == "parameter":
        model[0].weight = nn.Parameter(huge)
    else:
        model[0].register_buffer("more", huge)
    assert "more than the file can hold" in refused(saved(tmp_path, model), CorruptFileError)


def test_many_tensors_that_fit_one_by_one_but_not_together_are_refused(tmp_path):
    model = nn.Sequential(nn.ReLU())
    for i in range(50):
        model.register_buffer(f"b{i}", torch.zeros(1).expand(5000))
    assert "more than the file can hold" in refused(saved(tmp_path, model), CorruptFileError)


def test_weights_that_many_layers_share_are_not_counted_again(tmp_path):
    shared, layers = nn.Linear(40, 40), []
    for _ in range(12):
        layer = nn.Linear(40, 40)
        layer.weight, layer.bias = shared.weight, shared.bias
        layers += [layer, nn.ReLU()]
    module = load_module(identify(saved(tmp_path, nn.Sequential(*layers))))
    assert len({p.data_ptr() for p in module.parameters()}) == 2
