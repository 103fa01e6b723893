"""The hash over a day: everything that happens is in it, with its time and its order."""

import io
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.simulation.history import History, Moment
from tests.simulation.loop import VirtualLoop


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    quantity: Decimal
    parts: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    quantity: Decimal
    parts: Any = None


def digest_of(*steps: tuple[str, object], pause_s: float = 0.0) -> str:
    loop = VirtualLoop()
    history = History(loop)
    loop.pause(pause_s)
    for what, data in steps:
        history.step(what, data)
    loop.close()
    return history.digest


def test_who_what_when_and_the_order_of_steps_are_in_the_hash() -> None:
    one, other = ("actor 1", Told(quantity=Decimal(1))), ("actor 2", Told(quantity=Decimal(1)))
    digests = {
        digest_of(one, other),
        digest_of(other, one),
        digest_of(one),
        digest_of(("actor 1", Told(quantity=Decimal("1.0"))), other),
        digest_of(("actor 1", Heard(quantity=Decimal(1))), other),
        digest_of(one, other, pause_s=1e-6),
    }

    assert len(digests) == 6
    assert digest_of(one, other) in digests


def test_what_has_no_spelling_of_its_own_is_in_the_hash_as_people_read_it() -> None:
    odd = [{(1, 2): "a pair as a key"}, "half a pair \ud800", {(1, 2): "another"}]

    assert len({digest_of(("odd", Told(quantity=Decimal(1), parts=one))) for one in odd}) == 3


def test_a_trace_reads_as_people_do_and_changes_no_hash() -> None:
    loop, trace = VirtualLoop(), io.StringIO()
    traced, plain = History(loop, trace=trace), History(loop)
    for history in (traced, plain):
        history.note("sent", ("north", "GET", "/tickle"))
    loop.close()

    assert trace.getvalue() == "1000.000000000 sent ('north', 'GET', '/tickle')\n"
    assert traced.digest == plain.digest
    assert traced.moments == [
        Moment(number=0, at_s=1000.0, kind="sent", data=("north", "GET", "/tickle"))
    ]
