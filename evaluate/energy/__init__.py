"""What does it cost? Operation counts in, joules by term out, beside published figures.

constants.py     a published number: value as printed, unit, scope, evidence, source; reading the tables
processes.toml   prices of arithmetic and memory         hardware.toml    chips and machines
biology.toml     nervous systems                         thresholds.toml  break-even points with memory
chips.toml       what chips spend beside their SynOps
model.py         what an energy model is and answers; rounding for display
ops_horowitz.py  the model `ops-horowitz`: arithmetic only
lemaire2022.py   arithmetic, memory and addressing       yan2024.py       against a quantised ANN of matched bits
davidson_furber2021.py  SRAM included, one silicon       chip_affine.py   static power and so much for each event
charges.py       what the models with memory share
break_even.py    rho, rate and steps at which the verdict flips
verdict.py       what the joules say, in sentences
reporting.py     records for the run file
meters.py        joules measured while simulating, never mixed with modelled ones
"""

from evaluate.energy.break_even import BreakEven, break_even
from evaluate.energy.chip_affine import CHIPS, ChipAffine
from evaluate.energy.constants import Constant, read_constants
from evaluate.energy.davidson_furber2021 import DavidsonFurber2021
from evaluate.energy.lemaire2022 import Lemaire2022
from evaluate.energy.model import Bill, Breakdown, EnergyModel, Span, joules_in_words, rounded
from evaluate.energy.ops_horowitz import OpsHorowitz
from evaluate.energy.reporting import as_record, baselines_record, constants_record, model_record
from evaluate.energy.verdict import judged, thresholds, verdict
from evaluate.energy.yan2024 import Yan2024, matched_bits

__all__ = [
    "CHIPS",
    "Bill",
    "BreakEven",
    "Breakdown",
    "ChipAffine",
    "Constant",
    "DavidsonFurber2021",
    "EnergyModel",
    "Lemaire2022",
    "OpsHorowitz",
    "Span",
    "Yan2024",
    "as_record",
    "baselines_record",
    "break_even",
    "constants_record",
    "joules_in_words",
    "judged",
    "matched_bits",
    "model_record",
    "read_constants",
    "rounded",
    "thresholds",
    "verdict",
]
