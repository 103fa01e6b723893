"""The faults a simulated gateway can be told to show, subject by subject.

Rule: nothing outside names a fault that is not a field of a class in here.
"""

from engine.sim.faults.book import FAULTS, SPELL_MS, Faults, FaultsFileError
from engine.sim.faults.files import load_faults
from engine.sim.faults.kinds import CHANCED, Fault, Kind
from engine.sim.faults.presets import PRESETS

__all__ = [
    "CHANCED",
    "FAULTS",
    "PRESETS",
    "SPELL_MS",
    "Fault",
    "Faults",
    "FaultsFileError",
    "Kind",
    "load_faults",
]
