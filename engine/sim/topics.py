"""What a client says on the socket, parsed.

Rule: `TOPIC+TARGET+{JSON}`; target and JSON may be missing, and only the JSON
may hold a plus sign.
"""

from dataclasses import dataclass
from typing import Any

from engine.sim.answers import decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One frame from a client; `target` is empty and `arguments` too when not given."""

    topic: str
    target: str
    arguments: dict[str, Any]


def parse_command(text: str) -> Command | None:
    """The command in a frame, None when its JSON is broken."""
    topic, _, rest = text.strip().partition("+")
    if rest.startswith("{"):
        target, written = "", rest
    else:
        target, brace, tail = rest.partition("+{")
        written = brace.removeprefix("+") + tail
    arguments = decode(written) if written else {}
    if not isinstance(arguments, dict):
        return None
    return Command(topic=topic, target=target.strip("+"), arguments=arguments)


def texts(value: Any) -> tuple[str, ...]:
    """A JSON list as texts; anything else is empty."""
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
