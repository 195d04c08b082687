"""How does an ANN become an SNN, and how does it run?

load -> Graph -> fold -> observe -> scale -> calibrate -> simulate; each stage is a pure function of the one before.

errors.py       what can go wrong          config.py      every option, frozen
reading/        files to Graph             pipeline.py    convert(): the whole story
graph/          the network as data        network.py     SpikingNetwork: the result as data
neurons/        the laws                   lattice.py     numbers on which float32 sums are exact
normalisation/  activations to thresholds  simulation/    running it
writing/        the result to files        __main__.py    the command line of the main job
correction.py   starts and biases, tried in several ways
"""

from convert.config import ConvertConfig
from convert.errors import ConvertError
from convert.graph.ir import Graph
from convert.network import SpikingNetwork, threshold_balanced
from convert.pipeline import Conversion, convert, reopened
from convert.reading.sklearn_model import from_estimator
from convert.reading.sources import identify
from convert.reading.torch_file import load_module
from convert.reading.tracing import Traced, trace
from convert.simulation.asynchronous import Timing, simulate_exact_reference
from convert.simulation.engine import simulate
from convert.simulation.module import SpikingModule
from convert.simulation.periods import simulate_radix
from convert.simulation.quiescence import quantised, simulate_exact
from convert.simulation.reference import simulate_reference
from convert.simulation.results import Settled, Simulation

__all__ = [
    "Conversion",
    "ConvertConfig",
    "ConvertError",
    "Graph",
    "Settled",
    "Simulation",
    "SpikingModule",
    "SpikingNetwork",
    "Timing",
    "Traced",
    "convert",
    "from_estimator",
    "identify",
    "load_module",
    "quantised",
    "reopened",
    "simulate",
    "simulate_exact",
    "simulate_exact_reference",
    "simulate_radix",
    "simulate_reference",
    "threshold_balanced",
    "trace",
]
