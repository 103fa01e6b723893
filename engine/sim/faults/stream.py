"""Faults of the WebSocket."""

from dataclasses import dataclass

from engine.sim.faults.kinds import condition, count, switch

_NO_PROMISE = "does not promise order, completeness or one copy"


@dataclass(kw_only=True)
class StreamFaults:
    """A fault of the stream strikes every socket that is open."""

    silent_websocket: bool = condition(
        "The WebSocket stays open and says nothing",
        "does so when it lost the broker; even pings are answered then",
    )
    split_frames: bool = switch(
        "One JSON comes in several final frames",
        "passes the fragments of a message on as frames",
    )
    mute_sor: bool = condition(
        "No order updates on the stream", "stops them without a word, mostly after hours"
    )
    duplicate_sor: bool = switch("Every order update comes twice", _NO_PROMISE)
    lose_sor: int = count("A frame of order updates is lost", _NO_PROMISE)
    reorder_sor: int = count(
        "A frame of order updates comes after the next one, or half a second late", _NO_PROMISE
    )
    partial_rows: bool = switch(
        "An order update has the ids and the status only", "sends what changed, and not always all"
    )
    lose_str: int = count("A frame of executions is lost", _NO_PROMISE)
    reorder_str: int = count(
        "A frame of executions comes after the next one, or half a second late", _NO_PROMISE
    )
    duplicate_str: bool = switch("Every frame of executions comes twice", _NO_PROMISE)
    socket_closes: int = count(
        "In place of a frame, the socket is closed with code 1000",
        "closes it that way whatever happened upstream",
    )
    garbage_frame: int = count(
        "A frame that is neither JSON nor UTF-8 comes before the next one",
        "answers some commands with plain text",
    )
    oversized_frame: int = count(
        "The broker sends a frame above 64 KiB: the gateway closes the socket",
        "gives up on a connection with such a frame",
    )
    market_data_stops: int = count(
        "A stream of market data ends without a word", "does so 15 minutes after it was asked for"
    )
