"""Bugs in what is reserved, and in who may send."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

from engine.domain.messages import HaltScope
from engine.domain.risk import AccountRisk, reservations
from engine.domain.risk.reservations import Reservations
from engine.domain.values import OrderState
from engine.domain.views import OrderView
from tests.simulation.bugs.planting import changed, replaced


def release_on_timeout() -> Any:
    """Free what an order reserved as soon as nobody knows what became of it."""

    def make(follow: Any) -> Any:
        def other(self: Any, view: Any, **options: Any) -> Any:
            if view.state is OrderState.IN_DOUBT:
                view = replace(view, state=OrderState.EXPIRED)
            return follow(self, view, **options)

        return other

    return changed(Reservations, "follow", make)


def release_on_parking() -> Any:
    """Free what an order reserved once nobody looks for it any more."""

    def make(follow: Any) -> Any:
        def other(self: Any, view: Any, **options: Any) -> Any:
            if view.state in {OrderState.PARKED, OrderState.SUSPENDED}:
                view = replace(view, state=OrderState.EXPIRED)
            return follow(self, view, **options)

        return other

    return changed(Reservations, "follow", make)


@contextmanager
def reserve_only_what_was_wanted_first() -> Iterator[None]:
    """Let a change to more reserve nothing until it is settled.

    Both risk's own figure and the order's durable news count it; either one hides the other.
    """

    def make(_change: Any) -> Any:
        return lambda _self, _order_id, _terms, _now_ns: None

    def most(view: OrderView) -> Decimal:
        return max(view.quantity, view.quantity_max) + view.quantity_extra

    with changed(Reservations, "change", make), replaced(reservations, _most=most):
        yield


def release_on_a_cancel() -> Any:
    """Free what an order reserved as soon as its cancel was asked for."""

    def make(follow: Any) -> Any:
        def other(self: Any, view: Any, **options: Any) -> Any:
            if view.pending.value == "cancel":
                view = replace(view, quantity=view.filled_quantity, quantity_max=Decimal(0))
            return follow(self, view, **options)

        return other

    return changed(Reservations, "follow", make)


def ignore_a_halt() -> Any:
    """Let an account go on that a person halted."""

    def make(handle: Any) -> Any:
        def other(self: Any, message: Any) -> Any:
            return () if isinstance(message, HaltScope) else handle(self, message)

        return other

    return changed(AccountRisk, "handle", make)
