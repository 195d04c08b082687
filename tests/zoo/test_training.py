from dataclasses import replace

import pytest
import torch
from torch import nn

import zoo
from zoo.architectures import ARCHITECTURES, architecture
from zoo.errors import ZooError
from zoo.layers import QuantisedClip
from zoo.training import Recipe, augmented, begin_with, fitted, held_out

ONE_EPOCH = zoo.recipe("digits-relu", epochs=1)


@pytest.fixture(autouse=True)
def one_thread():
    """A small network gains nothing from more threads, and loses much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_has_a_recipe_that_fits_it(name):
    recipe = zoo.recipe(name)
    assert recipe.network == name
    assert recipe.data == architecture(name).data
    assert recipe.samples == {"digits": 450, "fashion-mnist": 10_000, "waveform": 5000}[recipe.data]


def test_training_is_reproducible_and_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    weights = [zoo.train(ONE_EPOCH)[0].state_dict() for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    other = zoo.train(replace(ONE_EPOCH, seed=2))[0].state_dict()
    assert not torch.equal(weights[0]["1.weight"], other["1.weight"])


def test_training_reports_each_step_and_epoch():
    steps = []
    recipe = replace(ONE_EPOCH, hold_out=347)
    module, history = zoo.train(recipe, lambda step, total, loss: steps.append((step, total)))
    assert steps == [(step + 1, 31) for step in range(31)]
    assert len(history) == 1
    assert not module.training


def test_the_recipe_hash_covers_what_weights_depend_on():
    assert replace(ONE_EPOCH, expected_accuracy=0.5).sha256 == ONE_EPOCH.sha256
    others = [replace(ONE_EPOCH, **change) for change in ({"seed": 2}, {"hold_out": 1}, {"start": "digits-tanh"})]
    assert len({recipe.sha256 for recipe in (ONE_EPOCH, *others)}) == 4


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


@pytest.mark.parametrize("data", ["digits", "waveform"])
def test_what_is_held_out_and_what_is_fitted_make_up_the_training_split(data):
    seen, unseen = fitted(data, 300), held_out(data, 300)
    whole = zoo.open_dataset(data).calibration()
    assert len(unseen) == 300
    assert torch.equal(torch.cat([seen.x, unseen.x]), whole.x)


RETRAINED = [pytest.param(name, marks=[] if name.startswith("digits") else pytest.mark.slow) for name in zoo.names()]


@pytest.mark.parametrize("name", RETRAINED)
def test_training_again_reaches_the_stated_accuracy(name):
    recipe = zoo.recipe(name)
    try:
        module, _, run = zoo.trained(recipe)
    except zoo.MissingDatasetError as error:
        pytest.skip(str(error))
    reached = zoo.accuracy(module, zoo.open_dataset(recipe.data).scored())
    assert reached >= recipe.expected_accuracy - recipe.tolerance
    assert abs(reached - zoo.load(name).accuracy) <= 2 * recipe.tolerance
    assert (run.hold_out, run.start, run.epochs) == (recipe.hold_out, recipe.start, recipe.epochs)
    assert run.cpu_s > 0


def test_training_may_begin_with_the_weights_of_another_network():
    recipe = replace(ONE_EPOCH, start="digits-relu", learning_rate=1e-9)
    module, (epoch,) = zoo.train(recipe)
    torch.testing.assert_close(module[1].weight, zoo.load("digits-relu").module[1].weight)
    assert epoch.accuracy > 0.99


def test_qcfs_begins_with_thresholds_of_its_data():
    """Each layer's threshold is 2.8 times the mean of the positive values that reach it."""
    built = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), QuantisedClip(), nn.Linear(128, 64), QuantisedClip(),
                          nn.Linear(64, 10))  # fmt: skip
    samples = zoo.open_dataset("digits").calibration()
    begin_with(built, "digits-relu", samples)
    drive = built[1](samples.x[:1000].flatten(1)).detach()
    assert built[2].lam.item() == pytest.approx(2.8 * float(drive[drive > 0].mean()), rel=1e-5)
    assert zoo.accuracy(built.eval(), samples) > 0.9
