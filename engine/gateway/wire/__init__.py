"""The one place that knows the broker's field names, error texts and number formats."""

from engine.gateway.wire.ticket import Operator, TicketEncoder

__all__ = ["Operator", "TicketEncoder"]
