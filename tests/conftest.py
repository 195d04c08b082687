"""Options of the whole suite."""

import pytest
import torch
from hypothesis import HealthCheck, settings

# The same examples on every machine, however slow it is.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path, parent):
    """Networks made while a module is imported get the same weights, whatever else was collected before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def two_threads():
    torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def same_numbers():
    """A test draws the same numbers alone, among others, and on every machine."""
    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef, request):
    """So does what several tests share: it is made before the first of them, whichever that is."""
    if fixturedef.scope != "function":
        torch.manual_seed(0)
