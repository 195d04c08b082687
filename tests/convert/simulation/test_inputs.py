import pytest
import torch

from convert.errors import InputShapeError
from convert.simulation.engine import simulate
from convert.simulation.inputs import constant_current, poisson_spikes
from convert.simulation.reference import simulate_reference
from tests.oracles.conversions import converted


def rates(x, scale=1.0, steps=4000, seed=0):
    return poisson_spikes(x, scale, steps, seed, range(len(x))).mean(0)


def test_the_rate_of_a_poisson_input_is_its_magnitude_over_the_scale():
    x = torch.tensor([[0.0, 0.1, 0.5, 0.9, 1.0, -0.3, 2.0]])
    for scale in (1.0, 2.0):
        p = (x / scale).clamp(-1, 1)
        error = rates(x, scale) - p
        spread = (p.abs() * (1 - p.abs()) / 4000).sqrt()
        assert bool((error.abs() <= 4.5 * spread + 1e-12).all())


def test_poisson_spikes_are_signed_spikes():
    x = torch.linspace(-1, 1, 21)[None]
    trains = poisson_spikes(x, 1.0, 200, 0, [0])
    assert trains.shape == (200, 1, 21)
    assert trains.dtype == torch.float32
    assert set(trains.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert bool((trains * x >= 0).all())
    assert not trains[..., 10].any()
    assert bool((trains[..., 20] == 1).all())


def test_successive_steps_and_neighbours_are_independent():
    trains = poisson_spikes(torch.full((2, 50), 0.5), 1.0, 2000, 3, [0, 1])
    flat = (trains - 0.5).flatten(1)
    correlation = torch.corrcoef(flat.T[:100])
    off = correlation - torch.eye(100)
    assert float(off.abs().max()) < 0.12
    along = ((trains[1:] - 0.5) * (trains[:-1] - 0.5)).mean() / 0.25
    assert abs(float(along)) < 0.01


def test_a_sample_s_spikes_depend_on_its_number_and_the_seed_alone():
    x = torch.full((4, 6), 0.5)
    whole = poisson_spikes(x, 1.0, 50, 7, range(4))
    assert torch.equal(poisson_spikes(x[2:], 1.0, 50, 7, [2, 3]), whole[:, 2:])
    assert torch.equal(poisson_spikes(x[:2], 1.0, 50, 7, [3, 0]), whole[:, [3, 0]])
    assert not torch.equal(whole[:, 0], whole[:, 1])
    assert not torch.equal(poisson_spikes(x, 1.0, 50, 8, range(4)), whole)


def test_the_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    poisson_spikes(torch.ones(1, 3), 1.0, 5, 0, [0])
    assert torch.equal(torch.get_rng_state(), state)


def test_numbers_must_match_the_samples():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        poisson_spikes(torch.ones(3, 2), 1.0, 5, 0, [0, 1])


@pytest.mark.parametrize("name", ["conv norm average", "mlp", "tanh"])
def test_poisson_networks_give_the_same_spikes_in_every_batch(name):
    network, x = converted(name, "seed", input_code="poisson")
    whole = simulate(network, x, 20, seed=11)
    for start, stop in ((0, 1), (5, 8), (63, 64)):
        part = simulate(network, x[start:stop], 20, seed=11, samples=range(start, stop))
        assert torch.equal(part.output, whole.output[:, start:stop])
    assert "input" in whole.spikes
    assert float(whole.counts["input"].mean()) / 20 == pytest.approx(float(x.mean()), abs=0.02)
    assert not torch.equal(simulate(network, x, 20, seed=12).output, whole.output)


def test_a_constant_input_is_on_its_lattice():
    x = torch.rand((5, 5), generator=torch.Generator().manual_seed(0))
    current = constant_current(x)
    assert current.dtype == torch.float64
    assert torch.equal(current * 2**16, (current * 2**16).round())
    assert float((current - x).abs().max()) <= 2.0**-17


@pytest.mark.parametrize("run", [simulate, simulate_reference])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_samples_that_are_not_finite_are_refused_and_counted(run, bad):
    network, x = converted("conv norm average")
    x = x.clone()
    x[3], x[7] = bad, bad
    with pytest.raises(InputShapeError, match=r"2 of 64 samples hold NaN or infinity, the first is number 3"):
        run(network, x, 2)
