"""What a venue keeps when its process ends, as plain JSON.

Rule 1: kept is what the broker keeps: orders, executions, accounts, client order
ids, counters, prices and what is still to come. What belongs to a session of a
client is not kept.

Rule 2: a number is a text in it, so that none passes through a float.
"""

import json
import types
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from engine.sim.accounts import Account
from engine.sim.agenda import Step
from engine.sim.catalogue import is_option
from engine.sim.market import Quote
from engine.sim.orders import ChangeRequest, Execution, Order, Prompted, Submission
from engine.sim.venue import Venue

FORMAT: Final = 1


class StateError(ValueError):
    """A state cannot be used; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueState:
    """All that a venue goes on from."""

    at_ms: int
    next_order_id: int
    next_execution: int
    orders: tuple[Order, ...]
    executions: tuple[Execution, ...]
    submissions: tuple[Submission, ...]
    change_requests: tuple[ChangeRequest, ...]
    cancel_requests: tuple[int, ...]
    commissions_known: tuple[str, ...]
    coids: Mapping[str, tuple[int, int]]
    accounts: Mapping[str, Account]
    due: tuple[tuple[Step, int, int], ...]
    prompts: tuple[Prompted, ...]
    quotes: Mapping[int, Quote]
    unanswered: tuple[int, ...] = ()


def kept(venue: Venue, now_ms: int) -> dict[str, Any]:
    """The state of a venue as JSON values."""
    state = VenueState(
        at_ms=now_ms,
        next_order_id=venue.next_order_id,
        next_execution=venue.next_execution,
        orders=tuple(venue.orders.values()),
        executions=tuple(venue.executions),
        submissions=tuple(venue.submissions),
        change_requests=tuple(venue.change_requests),
        cancel_requests=tuple(venue.cancel_requests),
        commissions_known=tuple(sorted(venue.commissions_known)),
        coids=venue.coids,
        accounts=venue.accounts,
        due=tuple(venue.agenda.rows()),
        prompts=tuple(venue.prompts.values()),
        quotes=venue.market.state(),
        unanswered=tuple(sorted(venue.unanswered)),
    )
    packed: dict[str, Any] = _packed(state)
    return packed


def read(values: Any) -> VenueState:
    """The state in JSON values that `kept` made.

    Raises:
        StateError: The values are not such a state.
    """
    state = _unpacked(VenueState, values, "state")
    assert isinstance(state, VenueState), "a dataclass is unpacked to itself"
    return state


def restore(venue: Venue, state: VenueState) -> None:
    """Let a new venue go on from a state.

    Raises:
        StateError: The state has other accounts, or orders in contracts nobody lists.
    """
    missing = sorted(set(state.accounts) - set(venue.accounts))
    if missing:
        message = f"it has the accounts {', '.join(missing)}, which this login has not"
        raise StateError(message)
    conids = {order.ticket.conid for order in state.orders}
    conids.update(conid for account in state.accounts.values() for conid in account.positions)
    for conid in sorted(conids):
        if conid not in venue.market.instruments and not is_option(conid):
            message = f"it has orders or positions in the contract {conid}, which nobody lists"
            raise StateError(message)
        venue.instrument(conid)
    venue.next_order_id, venue.next_execution = state.next_order_id, state.next_execution
    venue.orders.update((order.order_id, order) for order in state.orders)
    venue.executions.extend(state.executions)
    venue.submissions.extend(state.submissions)
    venue.change_requests.extend(state.change_requests)
    venue.cancel_requests.extend(state.cancel_requests)
    venue.commissions_known.update(state.commissions_known)
    venue.coids.update(state.coids)
    venue.accounts.update(state.accounts)
    venue.prompts.update((row.order_id, row) for row in state.prompts)
    venue.unanswered.update(state.unanswered)
    venue.market.restore(state.quotes)
    venue.go_on(state.due)


class StateFile:
    """One file with the states of several logins, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Any]:
        """The kept states by username; empty when there is no file yet.

        Raises:
            StateError: The file cannot be read or is no such file.
        """
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            message = f"{self.path}: cannot be read: {error.strerror}"
            raise StateError(message) from error
        except ValueError as error:
            message = f"{self.path}: is no JSON: {error}"
            raise StateError(message) from error
        sessions = values.get("sessions") if isinstance(values, dict) else None
        if not isinstance(sessions, dict) or values.get("format") != FORMAT:
            message = f"{self.path}: is no state of format {FORMAT} of a simulated venue"
            raise StateError(message)
        return sessions

    def save(self, sessions: Mapping[str, Any]) -> None:
        """Replace the file; a reader sees the old one or the new one.

        Raises:
            OSError: The file cannot be written.
        """
        text = json.dumps({"format": FORMAT, "sessions": sessions}, separators=(",", ":"))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.new")
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(self.path)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()


def _packed(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _packed(getattr(value, item.name)) for item in fields(value)}
    match value:
        case Decimal():
            return str(value)
        case Enum():
            return value.value
        case Mapping():
            return {str(key): _packed(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_packed(inner) for inner in value]
        case _:
            return value


def _unpacked(kind: Any, value: Any, where: str) -> Any:
    """The value of this type; `where` names it in an error."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return None if value is None else _unpacked(inner[0], value, where)
    if is_dataclass(kind) and isinstance(kind, type):
        return _unpacked_object(kind, value, where)
    if origin is tuple:
        return _unpacked_rows(inner, value, where)
    if origin in (dict, Mapping):
        key_of: Callable[[Any], Any] = inner[0]
        rows = _typed(dict, value, where).items()
        return {key_of(key): _unpacked(inner[1], row, f"{where}.{key}") for key, row in rows}
    if kind is Decimal or (isinstance(kind, type) and issubclass(kind, Enum)):
        try:
            return kind(_typed(str, value, where))
        except (ValueError, InvalidOperation) as error:
            message = f"{where} is {value!r}, which is no {kind.__name__}"
            raise StateError(message) from error
    return _typed(kind, value, where)


def _unpacked_object(kind: type, value: Any, where: str) -> Any:
    given, hints = _typed(dict, value, where), get_type_hints(kind)
    names = {item.name for item in fields(kind)}
    # A file of an older version lacks what came later, which has a default for this.
    needed = {
        item.name
        for item in fields(kind)
        if item.default is MISSING and item.default_factory is MISSING
    }
    if set(given) - names or needed - set(given):
        different = ", ".join(sorted((set(given) - names) | (needed - set(given))))
        message = f"{where} lacks or should not have: {different}"
        raise StateError(message)
    return kind(
        **{name: _unpacked(hints[name], given[name], f"{where}.{name}") for name in sorted(given)}
    )


def _unpacked_rows(inner: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    rows = _typed(list, value, where)
    kinds: Iterable[Any] = inner
    if inner[-1] is Ellipsis:
        kinds = [inner[0]] * len(rows)
    elif len(rows) != len(inner):
        message = f"{where} has {len(rows)} values, needed are {len(inner)}"
        raise StateError(message)
    return tuple(
        _unpacked(kind, row, f"{where}[{index}]")
        for index, (kind, row) in enumerate(zip(kinds, rows, strict=True))
    )


def _typed(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        message = f"{where} is {value!r}, needed is {kind.__name__}"
        raise StateError(message)
    return value
