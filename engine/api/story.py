"""The records of the journal in words, for people.

Rule: a record is told as far as it can be read. One of a type or a shape that nobody here
knows is told by its type; it is never left out, and never an error.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from engine.api.answers import EventBody, time_text
from engine.domain.values import GroupKind, ScopeKind, TrailingType

Body: TypeAlias = Mapping[str, object]

_NS_PER_MS: Final = 1_000_000
_DIGITS_MAX: Final = 14
_ANSWERS: Final = {
    "ack": "the broker has it",
    "refused": "the broker refused it",
    "not_sent": "it was not sent",
    "in_doubt": "what became of it is not known",
}
_STEPS: Final = {
    "place": "order",
    "reply": "reply",
    "cancel": "cancel",
    "modify": "modify",
}
_RESOLVED: Final = {
    "not_placed": "never placed",
    "live": "live at the broker",
    "filled": "filled",
}


def told(event: EventBody) -> str:
    """Return what a record says, as one sentence that begins with its type."""
    said = words(event.type, event.body)
    return f"{event.type}: {said}" if said else event.type


def words(record_type: str, body: Body) -> str:
    """Return what a record says; nothing where its type is not known."""
    teller = _TELLERS.get(record_type)
    return "" if teller is None else teller(body)


def _text(body: object, *path: str) -> str:
    """Return what stands at the end of a path, as text; empty when there is nothing."""
    for name in path:
        body = body.get(name) if isinstance(body, Mapping) else None
    if body is None or isinstance(body, Mapping | list):
        return ""
    if isinstance(body, bool):
        return "yes" if body else "no"
    return str(body)


def _items(body: Body, *path: str) -> list[object]:
    found: object = body
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, list) else []


def _list(body: Body, *path: str) -> list[str]:
    return [_text(item) for item in _items(body, *path)]


def _whole(body: Body, *path: str) -> int | None:
    """Return a whole number, None where there is none or one beyond all reason."""
    written = _text(body, *path)
    return int(written) if written.isdecimal() and len(written) <= _DIGITS_MAX else None


def _reason(body: Body, *path: str) -> str:
    code, message = _text(body, *path, "code"), _text(body, *path, "message")
    return ": ".join(part for part in (code, message) if part)


def _joined(*parts: str, between: str = ", ") -> str:
    return between.join(part for part in parts if part)


def _named(word: str, value: str, after: str = "") -> str:
    return f"{word}{value}{after}" if value else ""


def _ticket(body: Body, *path: str) -> str:
    quantity = _text(body, *path, "quantity")
    cash = _text(body, *path, "cash_quantity")
    amount = f"{cash} in money of" if cash else quantity
    contract = _text(body, *path, "symbol") or _named("conid ", _text(body, *path, "conid"))
    head = _joined(
        _text(body, *path, "side"), amount, contract, _text(body, *path, "type"), between=" "
    )
    return _joined(
        head,
        _named("at ", _text(body, *path, "limit_price")),
        _named("stop ", _text(body, *path, "stop_price")),
        _named("trailing by ", _text(body, *path, "trailing_amount"), _percent(body, *path)),
        _named("at worst ", _text(body, *path, "cap_price")),
        _text(body, *path, "tif"),
        _named("until ", _time(body, *path, "good_till_ms"), ", kept by the engine"),
        _named("by the algorithm ", _text(body, *path, "algo", "name")),
        _place(body, *path, "group"),
        _named("key ", _text(body, *path, "client_order_id")),
    )


def _percent(body: Body, *path: str) -> str:
    return "%" if _text(body, *path, "trailing_type") == TrailingType.PERCENT else ""


def _time(body: Body, *path: str) -> str:
    at_ms = _whole(body, *path)
    return "" if at_ms is None else time_text(at_ms * _NS_PER_MS)


def _place(body: Body, *path: str) -> str:
    kind, size = _text(body, *path, "kind"), _text(body, *path, "size")
    index = _whole(body, *path, "index")
    if not kind or index is None:
        return ""
    return f"order {index + 1} of {size} of a group ({kind})"


def _terms(body: Body, *path: str) -> str:
    return _joined(
        *(
            _named(f"{word} ", _text(body, *path, name))
            for word, name in (
                ("quantity", "quantity"),
                ("limit price", "limit_price"),
                ("stop price", "stop_price"),
            )
        )
    )


def _intent(body: Body) -> str:
    others = len(_items(body, "followers"))
    group = ("approved", "ticket", "group")
    is_exit = (
        _text(body, *group, "kind") == GroupKind.BRACKET and _text(body, *group, "index") != "0"
    )
    return _joined(
        _ticket(body, "approved", "ticket"),
        # The exits of a bracket carry no id of ours at the broker.
        "sent under its entry" if is_exit else _named("sent as ", _text(body, "approved", "coid")),
        _named("in session ", _text(body, "approved", "session")),
        f"with {others} other orders of its group" if others else "",
    )


def _attempt(body: Body) -> str:
    number, login = _text(body, "number"), _text(body, "session_epoch")
    return f"attempt {number} to send it, in login {login}; from here on it may be at the broker"


def _answer(body: Body) -> str:
    step = _STEPS.get(_text(body, "step"), _text(body, "step"))
    kind = _text(body, "outcome", "kind")
    order = _text(body, "outcome", "broker_order_id")
    late = " came late, as evidence only" if body.get("late") is True else ""
    # That a cancel was heard does not mean that the order is gone.
    heard = kind == "ack" and step == "cancel"
    words = _joined(
        "the broker has heard it" if heard else _ANSWERS.get(kind, kind),
        _named("for its order " if heard else "as its order ", order),
        _text(body, "outcome", "status"),
        _reason(body, "outcome", "reason"),
        _named("HTTP ", _text(body, "outcome", "http_status")),
    )
    return f"the answer to the {step}{late}: {words}"


def _question(body: Body) -> str:
    ids = ", ".join(_list(body, "outcome", "question", "message_ids"))
    texts = " ".join(_list(body, "outcome", "question", "texts"))
    step = _STEPS.get(_text(body, "step"), _text(body, "step"))
    asked = f"the broker asks in answer to the {step} ({ids or 'no id'})"
    return _joined(asked, texts, between=": ")


def _reply(body: Body) -> str:
    answer, question = _text(body, "confirmed"), _text(body, "question_id")
    number = _text(body, "round")
    return f"the policy answers {answer} to question {question}, in round {number} of its questions"


def _row(body: Body) -> str:
    return _joined(f"the broker shows it ({_text(body, 'source')})", _shown(body, "as its order "))


def _shown(body: Body, before_id: str) -> str:
    """Tell what the broker shows of an order: how it stands, its prices, its id."""
    filled, total = _text(body, "row", "filled_quantity"), _text(body, "row", "total_quantity")
    return _joined(
        _text(body, "row", "status") or _text(body, "row", "unknown_status"),
        _named("filled ", filled, f" of {total}" if total else "") or _named("quantity ", total),
        _named("at ", _text(body, "row", "average_price"), " on average"),
        _named("limit price ", _text(body, "row", "limit_price")),
        _named("stop price ", _text(body, "row", "stop_price")),
        _named(before_id, _text(body, "row", "broker_order_id")),
        _text(body, "row", "reason"),
    )


def _stranger(body: Body) -> str:
    contract = _text(body, "row", "symbol") or _named("conid ", _text(body, "row", "conid"))
    side, kind = _text(body, "row", "side"), _text(body, "row", "order_type")
    return _joined(_joined(side, contract, kind, between=" "), _shown(body, "the broker's order "))


def _execution(body: Body) -> str:
    quantity, price = _text(body, "execution", "quantity"), _text(body, "execution", "price")
    busted = quantity.strip("0.") == ""
    traded = _joined(_text(body, "execution", "side"), f"{quantity} at {price}", between=" ")
    return _joined(
        f"execution {_text(body, 'execution', 'execution_id')} ({_text(body, 'source')})",
        "taken back" if busted else traded,
        _named("commission ", _text(body, "execution", "commission")),
        _named("traded at ", _time(body, "execution", "at_ms")),
    )


def _evidence(body: Body) -> str:
    if not isinstance(body.get("evidence"), Mapping):
        return ""
    elapsed_ms = _whole(body, "evidence", "elapsed_ms")
    seconds = "" if elapsed_ms is None else f"{elapsed_ms // 1000} s after it was sent"
    # The reason of a PARKED may have said what is missing.
    said = _text(body, "reason", "message")
    missing = [each for each in _list(body, "evidence", "missing") if each not in said]
    return _joined(
        f"{_text(body, 'evidence', 'list_reads')} lists and "
        f"{_text(body, 'evidence', 'trade_reads')} trade reads without it",
        seconds,
        _named("still missing: ", "; ".join(missing)),
    )


def _parked(body: Body) -> str:
    waits = _joined("waits for a person", _reason(body, "reason"), between=": ")
    return _joined(waits, _evidence(body), between="; ")


def _absent(body: Body) -> str:
    return _joined("proven never to have been placed", _evidence(body), between="; ")


def _resolved(body: Body) -> str:
    resolution = _text(body, "resolution")
    return _joined(
        f"{_text(body, 'by')} declares it {_RESOLVED.get(resolution, resolution)}",
        _named("approved by ", _text(body, "approved_by")),
        _named("the broker's order ", _text(body, "broker_order_id")),
        _named("quantity ", _text(body, "quantity")),
        _named("price ", _text(body, "price")),
        _named("because: ", _text(body, "reason")),
    )


def _adopted(body: Body) -> str:
    ours = _joined(
        "an order at the broker is ours from here on",
        _named("in session ", _text(body, "session")),
        _text(body, "by"),
        "to be cancelled" if body.get("cancel") is True else "",
    )
    return _joined(ours, _stranger(body), between="; ")


def _incarnation(body: Body) -> str:
    if body.get("duplicate") is True:
        said = "the broker has a second order under its id; that one is cancelled"
    elif body.get("gone") is True:
        said = "the broker has no second order under its id any more"
    else:
        said = "the broker has renumbered it"
    return _joined(said, _shown(body, "the broker's order "), between=": ")


def _unprotected(body: Body) -> str:
    missing = ", ".join(_list(body, "missing"))
    return f"the broker does not show its exits {missing}; what follows: {_text(body, 'policy')}"


def _modify(body: Body) -> str:
    return _joined(
        f"new terms wanted: {_terms(body, 'change', 'terms')}",
        _named("by ", _text(body, "change", "by")),
    )


def _modified(body: Body) -> str:
    applied = "the new terms are" if body.get("applied") is True else "the old terms stay"
    return _joined(
        f"{applied} in force: {_terms(body, 'terms')}", _reason(body, "reason"), between="; "
    )


def _prompt(body: Body) -> str:
    ids = ", ".join(_list(body, "question", "message_ids"))
    texts = " ".join(_list(body, "question", "texts"))
    return _joined(f"the broker asks over the stream ({ids or 'no id'})", texts, between=": ")


def _scope(body: Body) -> str:
    kind, key = _text(body, "scope", "kind"), _text(body, "scope", "key")
    return kind if kind == ScopeKind.FIRM else f"{kind}:{key}"


def _halt(body: Body) -> str:
    halted = _joined(f"{_scope(body)} is at {_text(body, 'level')}", _by(body))
    return _joined(halted, _text(body, "reason"), between=": ")


def _resume(body: Body) -> str:
    resumed = _joined(f"{_scope(body)} is resumed", _by(body))
    return _joined(resumed, _text(body, "reason"), between=": ")


def _by(body: Body) -> str:
    return _named("by ", _text(body, "by"))


def _login(body: Body) -> str:
    guarded = _joined(
        f"session {_text(body, 'session')} has {_text(body, 'failures')} failed logins in a row",
        "was taken over" if body.get("taken_over") is True else "",
        "nothing more is tried" if body.get("latched") is True else "",
    )
    return _joined(guarded, _text(body, "reason"), between=": ")


def _notice(body: Body) -> str:
    notice = f"the broker's {_text(body, 'kind')} {_text(body, 'notice_id')}"
    heard = _joined(notice, _named("in session ", _text(body, "session")))
    return _joined(heard, _text(body, "text"), between=": ")


def _external(body: Body) -> str:
    seen = _joined("an order that is not ours", _named("in session ", _text(body, "session")))
    return _joined(seen, _stranger(body), between=": ")


def _start(body: Body) -> str:
    return f"the engine {_text(body, 'version')} started in {_text(body, 'mode')} mode"


def _limits(body: Body) -> str:
    loaded = _joined(
        f"limits of version {_text(body, 'version')} are in force",
        _named("approved by ", ", ".join(_list(body, "approved_by"))),
    )
    return _joined(loaded, "; ".join(_list(body, "changes")), between=": ")


def _reconciled(body: Body) -> str:
    session, epoch = _text(body, "session"), _text(body, "epoch")
    compared = (
        f"compared with the broker, in login {epoch} of {session}: {_text(body, 'result')}, "
        f"{_text(body, 'orders')} orders, {_text(body, 'executions')} executions, "
        f"{len(_items(body, 'positions'))} positions"
    )
    breaks = (
        f"{_text(one, 'symbol') or _named('conid ', _text(one, 'conid'))} should be "
        f"{_text(one, 'expected')}, the broker has {_text(one, 'found')}"
        for one in _items(body, "breaks")
    )
    return _joined(compared, *breaks, between="; ")


_TELLERS: Final[Mapping[str, Callable[[Body], str]]] = {
    "INTENT": _intent,
    "DENIED": lambda body: _joined(_ticket(body, "ticket"), _reason(body, "reason"), between="; "),
    "CANCEL": lambda body: _joined("its cancel is wanted", _text(body, "cause"), between=": "),
    "ATTEMPT": _attempt,
    "OUTCOME": _answer,
    "QUESTION": _question,
    "REPLY": _reply,
    "ROW": _row,
    "EXECUTION": _execution,
    "EXPIRED": lambda body: _joined("ended unsent", _reason(body, "reason"), between=": "),
    "IN_DOUBT": lambda body: _joined(
        "nobody knows whether the broker took it", _reason(body, "reason"), between=": "
    ),
    "PARKED": _parked,
    "ABSENT": _absent,
    "RESOLVED": _resolved,
    "ADOPTED": _adopted,
    "INCARNATION": _incarnation,
    "UNPROTECTED": _unprotected,
    "MODIFY": _modify,
    "MODIFIED": _modified,
    "PROMPT": _prompt,
    "HALT": _halt,
    "RESUME": _resume,
    "LOGIN": _login,
    "NOTICE": _notice,
    "EXTERNAL": _external,
    "START": _start,
    "LIMITS": _limits,
    "RECONCILED": _reconciled,
}
