"""The faults a simulated gateway can be told to show.

Rule 1: every fault is a field that may be changed while the gateway runs, from
any thread; the gateway reads it at the moment it matters.

Rule 2: a fault for the next order strikes the request that would have made the
order live: the POST, or the last reply when questions were asked.

Rule 3: what struck is counted in `struck`, so that a test can prove it did.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import yaml


class FaultsFileError(ValueError):
    """A faults file cannot be used; the text names file, line, value and what is allowed."""


@dataclass(slots=True, kw_only=True)
class Faults:
    """Switches and counters.

    Counts say how many of the next orders are struck; `True` counts as one.
    `drop_response_bytes` is how much of the answer to the next order is let
    through before the connection is cut, None lets it all through.
    `reject_next` and `cancel_next` are the texts the venue gives to the next
    order: an error at once, or a later Cancelled with that reason.
    `question_rounds` is the least number of questions each order is asked.
    `penalty_box_s` is how long every request is refused after a 429.
    `frozen_orders_list` shows the orders as they were when it was switched on,
    `order_list_lag_ms` as they were so long ago. `clock_skew_ms` is how far the
    times in the rows of orders and trades are ahead; it may be negative.
    """

    hang_next_order: int = 0
    hang_order_without_accept: int = 0
    status_503_with_accept: int = 0
    status_503_without_accept: int = 0
    next_order_429: int = 0
    too_many_requests: int = 0
    inactive_next: int = 0
    modify_hang: int = 0
    modify_503_with_accept: int = 0
    modify_503_without_accept: int = 0
    cancel_ignored: int = 0
    cancel_503: int = 0
    cancel_503_with_accept: int = 0
    cancel_hang: int = 0
    lose_sor: int = 0
    reorder_sor: int = 0
    lose_str: int = 0
    reorder_str: int = 0
    prompt_next: int = 0
    advanced_reject_next: int = 0
    init_fails: int = 0
    history_503: int = 0
    order_list_lag_ms: int = 0
    clock_skew_ms: int = 0
    question_rounds: int = 0
    extra_latency_ms: int = 0
    late_commission_ms: int = 3000
    drop_response_bytes: int | None = None
    reject_next: str | None = None
    cancel_next: str | None = None
    unauthorized: bool = False
    competing: bool = False
    silent_websocket: bool = False
    split_frames: bool = False
    mute_sor: bool = False
    duplicate_sor: bool = False
    duplicate_str: bool = False
    frozen_orders_list: bool = False
    silent_gateway: bool = False
    backend_down: bool = False
    unknown_question: bool = False
    late_commission: bool = False
    invalidated_question_goes_live: bool = False
    penalty_box_s: float = 0
    struck: Counter[str] = field(default_factory=Counter)
    brokerage_resets_wanted: int = 0
    websocket_closes_wanted: int = 0

    def reset_brokerage(self) -> None:
        """End the brokerage session, as the broker does every night."""
        self.brokerage_resets_wanted += 1

    def close_websockets(self) -> None:
        """Close every socket with code 1000, as the gateway does when it loses the broker."""
        self.websocket_closes_wanted += 1

    def change(self, values: Mapping[str, Any], *, where: str = "faults") -> None:
        """Give several faults new values, or none of them when one cannot be used.

        Raises:
            FaultsFileError: A name or a value is not allowed; the text starts with `where`.
        """
        checked = {name: _checked(name, value, where) for name, value in values.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def values(self) -> dict[str, Any]:
        """Every fault that can be given, with its value now."""
        return {name: getattr(self, name) for name in _FIELD_TYPES}

    def takes(self, name: str) -> bool:
        """True when a counted fault strikes now; one of its count is used up."""
        left = int(getattr(self, name))
        if left <= 0:
            return False
        setattr(self, name, left - 1)
        self.struck[name] += 1
        return True

    def takes_text(self, name: str) -> str | None:
        """The text of a one-shot fault, which is used up; None when it is not set."""
        text: str | None = getattr(self, name)
        if text is not None:
            setattr(self, name, None)
            self.struck[name] += 1
        return text

    def takes_drop(self) -> int | None:
        """After how many bytes to cut this answer, None for not at all."""
        bytes_max = self.drop_response_bytes
        if bytes_max is not None:
            self.drop_response_bytes = None
            self.struck["drop_response_bytes"] += 1
        return bytes_max


_NOT_IN_FILES: Final = frozenset({"struck", "brokerage_resets_wanted", "websocket_closes_wanted"})
_ALLOWED: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "int": ((int,), "a whole number, 0 or more"),
    "float": ((int, float), "a number, 0 or more"),
    "bool": ((bool,), "true or false"),
    "str | None": ((str, type(None)), "a text or null"),
    "int | None": ((int, type(None)), "a whole number, 0 or more, or null"),
}
_FIELD_TYPES: Final[Mapping[str, str]] = {
    item.name: getattr(item.type, "__name__", str(item.type))
    if isinstance(item.type, type)
    else str(item.type)
    for item in fields(Faults)
    if item.name not in _NOT_IN_FILES
}


def load_faults(path: Path) -> Faults:
    """The faults a YAML or JSON file starts a gateway with.

    Raises:
        FaultsFileError: The file cannot be read or says something unknown.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise FaultsFileError(message) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"{path}: is neither YAML nor JSON: {error}"
        raise FaultsFileError(message) from error
    if root is None:
        return Faults()
    if not isinstance(root, yaml.MappingNode):
        message = f"{path}: must hold names and values, one per line"
        raise FaultsFileError(message)
    values: dict[str, Any] = {}
    for key_node, value_node in root.value:
        name = str(key_node.value)
        where = f"{path}, line {key_node.start_mark.line + 1}"
        if name in values:
            message = f"{where}: {name} is given twice"
            raise FaultsFileError(message)
        value = yaml.safe_load(text[value_node.start_mark.index : value_node.end_mark.index])
        values[name] = _checked(name, value, where)
    return Faults(**values)


def _checked(name: str, value: Any, where: str) -> Any:
    if name not in _FIELD_TYPES:
        message = f"{where}: {name} is no fault; known are {', '.join(sorted(_FIELD_TYPES))}"
        raise FaultsFileError(message)
    types, allowed = _ALLOWED[_FIELD_TYPES[name]]
    negative = isinstance(value, int | float) and value < 0 and name != "clock_skew_ms"
    if not isinstance(value, types) or negative:
        message = f"{where}: {name} is {value!r}, allowed is {allowed}"
        raise FaultsFileError(message)
    return value
