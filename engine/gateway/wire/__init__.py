"""The one place that knows the broker's field names, error texts and number formats."""

from engine.gateway.wire.order import TicketEncoder

__all__ = ["TicketEncoder"]
