"""The life of one order: the machine, its table of ways, and how news is merged."""

from engine.domain.order.change import MODIFY_NOT_APPLIED
from engine.domain.order.machine import Order
from engine.domain.order.merge import Fills
from engine.domain.order.transitions import TRANSITIONS

__all__ = ["MODIFY_NOT_APPLIED", "TRANSITIONS", "Fills", "Order"]
