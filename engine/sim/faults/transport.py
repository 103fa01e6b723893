"""Faults of the gateway's process and of the way to it."""

from dataclasses import dataclass

from engine.sim.faults.kinds import condition, count, number, span, switch


@dataclass(kw_only=True)
class TransportFaults:
    """A fault of the transport strikes any request."""

    silent_gateway: bool = condition(
        "Requests are read and never answered, sockets say nothing",
        "has no timeout of its own towards the broker",
    )
    extra_latency_ms: int = number(
        "Every answer comes later by this, in milliseconds",
        "has five connections to the broker, so slow answers delay all",
    )
    gc_pause: int = count(
        "The gateway stands still for `gc_pause_s`: what was asked meanwhile is answered then",
        "is a Java program that collects its garbage",
    )
    gc_pause_s: float | str = span(
        "How long it stands still, in seconds", "has no limit for that", default="0..60"
    )
    too_many_requests: int = count(
        "A request of any kind is refused for its pace", "counts for all clients of an address"
    )
    penalty_box_s: float | str = span(
        "How long every request is refused after a 429, in seconds",
        "boxes an address for 10 minutes",
        default=0,
    )
    penalty_extends: bool = switch(
        "A request in that time makes it start anew", "punishes repeated offences longer"
    )
    certificate_changes: int = count(
        "Before a request, the certificate changes, and every connection is cut",
        "comes with one that is over; whoever replaces it changes it",
    )
    edge_403: int = count(
        "A request is answered 403 with an HTML page",
        "blocks addresses at its edge, for a penalty or a place",
    )
