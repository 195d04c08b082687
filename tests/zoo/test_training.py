from dataclasses import replace

import pytest
import torch

import zoo
from zoo.errors import ZooError
from zoo.nets import architecture
from zoo.training import Recipe, augmented

ONE_EPOCH = zoo.recipe("digits-relu", epochs=1)


@pytest.fixture(autouse=True)
def one_thread():
    """A small network gains nothing from more threads, and loses much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_has_a_recipe_that_fits_it(name):
    recipe = zoo.recipe(name)
    assert recipe.network == name
    assert recipe.data == architecture(name).data
    assert recipe.samples == {"digits": 450, "fashion-mnist": 10_000}[recipe.data]


def test_training_is_reproducible_and_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    weights = [zoo.train(ONE_EPOCH)[0].state_dict() for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    other = zoo.train(replace(ONE_EPOCH, seed=2))[0].state_dict()
    assert not torch.equal(weights[0]["1.weight"], other["1.weight"])


def test_training_reports_each_step_and_epoch():
    steps = []
    module, history = zoo.train(ONE_EPOCH, lambda step, total, loss: steps.append((step, total)), hold_out=347)
    assert steps == [(step + 1, 31) for step in range(31)]
    assert len(history) == 1
    assert not module.training


def test_the_recipe_hash_covers_what_weights_depend_on():
    assert replace(ONE_EPOCH, expected_accuracy=0.5).sha256 == ONE_EPOCH.sha256
    assert replace(ONE_EPOCH, seed=2).sha256 != ONE_EPOCH.sha256


@pytest.mark.parametrize("change", [{"optimiser": "sgd"}, {"schedule": "cosine"}, {"epochs": 0}])
def test_a_recipe_that_cannot_be_followed_is_refused(change):
    with pytest.raises(ZooError, match="recipe digits-relu"):
        replace(ONE_EPOCH, **change)


def test_shifts_move_the_image_and_flips_mirror_it():
    x = torch.zeros(200, 1, 5, 5)
    x[:, 0, 2, 3] = 1
    moved: Recipe = replace(ONE_EPOCH, shift=1, flip=True)
    y = augmented(x, moved, torch.Generator().manual_seed(0))
    assert y.shape == x.shape
    assert y.sum() == 200
    columns, rows = y.sum((0, 1, 2)).bool().tolist(), y.sum((0, 1, 3)).bool().tolist()
    assert rows == [False, True, True, True, False]
    assert columns == [True] * 5


def test_no_augmentation_is_the_identity():
    x = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(augmented(x, ONE_EPOCH, torch.Generator()), x)


def test_accuracy_needs_labels():
    samples = zoo.Samples(torch.zeros(2, 1, 8, 8), None, "scored")
    with pytest.raises(ZooError, match="no labels"):
        zoo.accuracy(zoo.load("digits-relu").module, samples)
