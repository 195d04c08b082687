"""What does it cost? Operation counts in, joules by term out, beside published figures.

constants.py     a published number: value as printed, unit, scope, evidence, source; reading the tables
processes.toml   prices of arithmetic and memory         hardware.toml    chips and machines
biology.toml     nervous systems                         thresholds.toml  break-even points with memory
model.py         what an energy model is and answers; rounding for display
ops_horowitz.py  the model `ops-horowitz`: arithmetic only
verdict.py       what the joules say, in sentences
reporting.py     records for the run file
"""

from evaluate.energy.constants import Constant, read_constants
from evaluate.energy.model import Bill, Breakdown, EnergyModel, Span, joules_in_words, rounded
from evaluate.energy.ops_horowitz import OpsHorowitz
from evaluate.energy.reporting import as_record, baselines_record
from evaluate.energy.verdict import thresholds, verdict

__all__ = [
    "Bill",
    "Breakdown",
    "Constant",
    "EnergyModel",
    "OpsHorowitz",
    "Span",
    "as_record",
    "baselines_record",
    "joules_in_words",
    "read_constants",
    "rounded",
    "thresholds",
    "verdict",
]
