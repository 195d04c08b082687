import dataclasses
import json

import pytest
import safetensors.torch
import torch

import zoo
from zoo.architectures import ARCHITECTURES
from zoo.catalogue import WEIGHTS, manifest
from zoo.errors import CheckpointError, UnknownNetworkError
from zoo.writing import write_atomically

DIGITS = WEIGHTS / "digits-relu.safetensors"


def parts(path):
    with safetensors.safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def altered(path, change_tensors=None, change_metadata=None):
    """Write a copy of the digits checkpoint with something changed."""
    tensors, metadata = parts(DIGITS)
    (change_tensors or (lambda _: None))(tensors)
    (change_metadata or (lambda _: None))(metadata)
    safetensors.torch.save_file(tensors, path, metadata)
    return path


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_loads_and_takes_its_samples(name):
    network = zoo.load(name)
    assert not network.module.training
    assert not any(parameter.is_meta for parameter in network.module.parameters())
    with torch.inference_mode():
        outputs = network.module(torch.zeros(2, *network.sample_shape))
    assert outputs.shape == (2, zoo.open_dataset(network.data).classes)


@pytest.mark.parametrize("name", zoo.names())
def test_installed_weights_are_those_of_manifest_and_recipe(name):
    network, stated, recipe = zoo.load(name), manifest()[name], zoo.recipe(name)
    assert (network.sha256, network.accuracy, network.samples) == tuple(stated.values())
    assert network.recipe_sha256 == recipe.sha256
    assert network.samples == recipe.samples
    assert network.accuracy >= recipe.expected_accuracy - recipe.tolerance


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("digits-relu", 0.97),
        ("digits-tanh", 0.97),
        ("digits-sigmoid", 0.96),
        ("waveform-cnn-relu", 0.85),
        ("fashion-cnn-relu", 0.925),
        pytest.param("fashion-cnn-tanh", 0.915, marks=pytest.mark.slow),
        pytest.param("fashion-cnn-max", 0.925, marks=pytest.mark.slow),
        pytest.param("fashion-resnet20", 0.925, marks=pytest.mark.slow),
        pytest.param("fashion-cnn-qcfs", 0.93, marks=pytest.mark.slow),
        pytest.param("fashion-mobile", 0.905, marks=pytest.mark.slow),
        pytest.param("fashion-vit", 0.885, marks=pytest.mark.slow),
    ],
)
def test_verify_measures_the_stated_accuracy(name, least):
    try:
        found = zoo.verify(name)
    except zoo.MissingDatasetError as error:
        pytest.skip(str(error))
    assert not found.faults
    assert found.measured >= least


def test_verify_tells_weights_that_differ(monkeypatch, tmp_path):
    def spoil(tensors):
        tensors["5.bias"][0] += 100

    altered(tmp_path / DIGITS.name, spoil)
    (tmp_path / "manifest.toml").write_bytes((WEIGHTS / "manifest.toml").read_bytes())
    monkeypatch.setattr(zoo.catalogue, "WEIGHTS", tmp_path)
    sha256, accuracy = zoo.verify("digits-relu").faults
    assert "sha256" in sha256
    assert "stated is 0.99" in accuracy


def test_every_recipe_has_weights_or_is_named_as_untrained():
    assert set(zoo.names()) | set(zoo.untrained()) == set(ARCHITECTURES)
    for name in zoo.untrained():
        with pytest.raises(CheckpointError, match=f"python -m zoo train {name} --install"):
            zoo.load(name)


def test_loading_draws_no_random_numbers():
    before = torch.get_rng_state()
    zoo.load("digits-relu")
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_network_is_refused_with_a_suggestion():
    with pytest.raises(UnknownNetworkError, match="did you mean digits-relu"):
        zoo.load("digit-relu")


def test_a_path_is_no_name():
    with pytest.raises(UnknownNetworkError):
        zoo.load("../weights/digits-relu")


def test_saving_gives_the_same_bytes_again(tmp_path):
    network = zoo.load("digits-relu")
    facts = {"accuracy": network.accuracy, "samples": network.samples, "recipe_sha256": network.recipe_sha256}
    zoo.save_checkpoint(tmp_path / "again", network.module, network=network.name, **facts)
    assert (tmp_path / "again").read_bytes() == DIGITS.read_bytes()


def test_is_checkpoint_goes_by_content(tmp_path):
    zoo_file = tmp_path / "model.pt"
    zoo_file.write_bytes(DIGITS.read_bytes())
    other, text = tmp_path / "other.safetensors", tmp_path / "text.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, other)
    text.write_text("hello")
    assert zoo.is_checkpoint(zoo_file)
    for path in (other, text, tmp_path, tmp_path / "missing"):
        assert not zoo.is_checkpoint(path)


@pytest.mark.parametrize("size", [0, 4, 100, 1000, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path, size):
    (tmp_path / "cut").write_bytes(DIGITS.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        zoo.load_checkpoint(tmp_path / "cut")


def test_a_pickle_is_refused_unread(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    torch.save(Bomb(), tmp_path / "bomb.pt")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        zoo.load_checkpoint(tmp_path / "bomb.pt")


def test_a_header_beyond_the_file_is_refused(tmp_path):
    (tmp_path / "huge").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError):
        zoo.load_checkpoint(tmp_path / "huge")


@pytest.mark.parametrize("path", ["missing", "."])
def test_a_missing_checkpoint_is_refused(tmp_path, path):
    with pytest.raises(CheckpointError, match="no such file"):
        zoo.load_checkpoint(tmp_path / path)


def put(key, value):
    return lambda found: found.update({key: value})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("5.bias", torch.full((10,), torch.nan)), "5.bias: 10 values are NaN"),
        (put("5.bias", torch.full((10,), torch.inf)), "5.bias: 10 values are NaN or infinite"),
        (put("5.bias", torch.zeros(11)), r"5.bias: \(11,\) torch.float32, expected \(10,\)"),
        (put("5.bias", torch.zeros(10, dtype=torch.float64)), "float64, expected"),
        (put("6.bias", torch.zeros(1)), "6.bias: unexpected"),
        (lambda tensors: tensors.pop("1.weight"), "1.weight: missing"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, change, words):
    with pytest.raises(CheckpointError, match=words):
        zoo.load_checkpoint(altered(tmp_path / "bad", change))


def test_a_negative_variance_is_refused(tmp_path):
    network = zoo.load("fashion-cnn-relu")
    network.module[1].running_var[0] = -1
    with pytest.raises(CheckpointError, match="running_var: negative variance"):
        zoo.save_checkpoint(
            tmp_path / "bad", network.module, network=network.name, accuracy=0.9, samples=1, recipe_sha256=""
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("format", "nir"), "are \\('nir', '1'\\)"),
        (put("version", "2"), "'2'\\); this"),
        (put("network", "../x"), "not in the zoo"),
        (put("data", "npz:elsewhere.npz"), "data is 'npz:elsewhere.npz'"),
        (put("accuracy", "good"), "good"),
        (put("accuracy", "nan"), "accuracy nan"),
        (put("samples", "0"), "on 0 samples"),
        (lambda metadata: metadata.pop("recipe_sha256"), "recipe_sha256"),
        (lambda metadata: metadata.clear(), "None, None"),
    ],
)
def test_metadata_that_cannot_be_used_is_refused(tmp_path, change, words):
    with pytest.raises(CheckpointError, match=words):
        zoo.load_checkpoint(altered(tmp_path / "bad", None, change))


def test_all_weights_together_stay_below_25_megabytes():
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 25e6


@pytest.mark.parametrize("change", ["{}", "[1]", "no", '{"seed": 1}', "null"])
def test_a_training_that_says_nothing_is_refused(tmp_path, change):
    with pytest.raises(CheckpointError, match="metadata cannot be used"):
        zoo.load_checkpoint(altered(tmp_path / "bad", None, put("training", change)))


def test_the_training_run_travels_in_the_file(tmp_path):
    network = zoo.load("digits-sigmoid")
    assert network.training.hold_out == zoo.recipe("digits-sigmoid").hold_out == 347
    facts = {"accuracy": network.accuracy, "samples": network.samples, "recipe_sha256": network.recipe_sha256}
    run = dataclasses.replace(network.training, cpu_s=1.5, start="digits-relu")
    zoo.save_checkpoint(tmp_path / "x", network.module, network=network.name, **facts, training=run)
    assert zoo.load_checkpoint(tmp_path / "x").training == run


def test_the_header_is_plain_json_with_the_promised_keys():
    content = DIGITS.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert set(header["__metadata__"]) == {
        "format", "version", "network", "data", "accuracy", "samples", "recipe_sha256",
    }  # fmt: skip


def test_a_failed_write_leaves_nothing(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_atomically(target, b"content")
    assert list(tmp_path.iterdir()) == [target]
