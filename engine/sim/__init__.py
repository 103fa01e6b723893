"""The simulated gateway: the broker's side, for demos, tests and development.

Rule: it shares no code with the gateway client. A misunderstanding of the
protocol that was written once must not cancel itself out.
"""

from engine.sim.config import SimConfig
from engine.sim.faults import Faults, FaultsFileError, load_faults
from engine.sim.gateway import SimGateway
from engine.sim.serving import run, serve
from engine.sim.venue import Venue

__all__ = [
    "Faults",
    "FaultsFileError",
    "SimConfig",
    "SimGateway",
    "Venue",
    "load_faults",
    "run",
    "serve",
]
