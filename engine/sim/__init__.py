"""The simulated gateway: the broker's side, for demos, tests and development.

Rule: it shares no code with the gateway client. A misunderstanding of the
protocol that was written once must not cancel itself out.
"""

from engine.sim.actions import ACTIONS, act
from engine.sim.arguments import ActionError
from engine.sim.config import SimConfig
from engine.sim.control import ControlPort
from engine.sim.faults import Faults, FaultsFileError, load_faults
from engine.sim.gateway import SimGateway
from engine.sim.serving import Fleet, run, serve, serve_many
from engine.sim.state import StateError, StateFile
from engine.sim.venue import Venue

__all__ = [
    "ACTIONS",
    "ActionError",
    "ControlPort",
    "Faults",
    "FaultsFileError",
    "Fleet",
    "SimConfig",
    "SimGateway",
    "StateError",
    "StateFile",
    "Venue",
    "act",
    "load_faults",
    "run",
    "serve",
    "serve_many",
]
