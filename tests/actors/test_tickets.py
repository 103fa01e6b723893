"""What a client leaves open in a ticket: its contract, its algorithm, its time."""

from dataclasses import replace

import pytest

from engine.actors.tickets import Settled, Tickets, checked, leader_coid, placed
from engine.domain.ports import AlgoParameterRule, AlgoRule, AmbiguousSymbol
from engine.domain.values import (
    Algo,
    AlgoParameter,
    ClientOrderId,
    ConId,
    GroupKind,
    GroupPlace,
    OrderId,
    ParameterKind,
    Reason,
    Side,
    TimeInForce,
)
from tests.actors.house import TICKET, coid, keyed, submit_request
from tests.domain.risk.samples import INSTRUMENT
from tests.fakes import NOON_NS, FakeEncoder, FakeInstruments, HandClock, run

NOON_MS = NOON_NS // 1_000_000
FUTURE = replace(INSTRUMENT, conid=ConId(495512563), symbol="ES", sec_type="FUT")
ADAPTIVE = AlgoRule(
    name="Adaptive",
    parameters=(
        AlgoParameterRule(
            name="adaptivePriority",
            kind=ParameterKind.TEXT,
            required=True,
            values=("Urgent", "Normal", "Patient"),
        ),
    ),
)
VWAP = AlgoRule(
    name="Vwap",
    parameters=(
        AlgoParameterRule(name="maxPctVol", kind=ParameterKind.NUMBER, required=True),
        AlgoParameterRule(name="noTakeLiq", kind=ParameterKind.FLAG, required=False),
        AlgoParameterRule(name="startTime", kind=ParameterKind.TEXT, required=False),
    ),
)
RULES = (ADAPTIVE, VWAP)


def parameter(name: str, value: str, kind: ParameterKind = ParameterKind.TEXT) -> AlgoParameter:
    return AlgoParameter(name=name, value=value, kind=kind)


def algo(name: str, *parameters: AlgoParameter) -> Algo:
    return Algo(name=name, parameters=parameters)


PATIENT = algo("Adaptive", parameter("adaptivePriority", "Patient"))


def settled(*tickets: object, instruments: FakeInstruments | None = None) -> object:
    """Settle a request; all tickets but the first are its followers."""
    known = instruments or FakeInstruments(INSTRUMENT, FUTURE)
    first, *others = tickets
    wanted = replace(submit_request(first), followers=tuple(others))  # type: ignore[arg-type] # tickets
    clock = HandClock().clock
    return run(Tickets(encoder=FakeEncoder(), clock=clock).settle(wanted, known))


# --- contracts ---------------------------------------------------------------------------------


def test_every_order_of_a_group_takes_the_contract_of_the_first() -> None:
    open_one = replace(TICKET, conid=ConId(0))
    leg = replace(keyed("mine-1:1"), conid=ConId(0), symbol="", side=Side.SELL)

    found = settled(open_one, leg)

    assert found == Settled(
        ticket=TICKET,
        followers=(replace(leg, conid=INSTRUMENT.conid, symbol="AAPL"),),
        instrument=INSTRUMENT,
    )


def test_a_symbol_of_several_contracts_is_asked_back() -> None:
    twin = replace(INSTRUMENT, conid=ConId(9999), exchange="LSE")
    known = FakeInstruments(INSTRUMENT, twin)

    found = settled(replace(TICKET, conid=ConId(0)), instruments=known)

    assert found == AmbiguousSymbol(symbol="AAPL", candidates=(INSTRUMENT, twin), count=2)


def test_a_contract_that_nobody_knows_is_the_obstacle() -> None:
    unknown = replace(TICKET, conid=ConId(1))

    assert settled(unknown) == Settled(
        ticket=unknown, obstacle=Reason(code="INSTRUMENT_UNKNOWN", message="no contract 1")
    )


def test_what_cannot_be_written_is_said_of_the_leg_that_it_is() -> None:
    future = replace(TICKET, conid=FUTURE.conid)

    found = settled(future, replace(future, client_order_id=ClientOrderId("mine-1:1")))

    assert isinstance(found, Settled)
    assert found.obstacle == Reason(code="EXT_OPERATOR_MISSING", message="no operator")


# --- time ----------------------------------------------------------------------------------------

GOOD_TILL = replace(TICKET, tif=TimeInForce.GTD, good_till_ms=NOON_MS + 1)


def test_a_time_to_come_is_no_obstacle() -> None:
    found = settled(GOOD_TILL)

    assert found == Settled(ticket=GOOD_TILL, instrument=INSTRUMENT)


@pytest.mark.parametrize(
    ("until_ms", "code", "text"),
    [
        (
            NOON_MS - 5,
            "GOOD_TILL_PASSED",
            "good_till=2025-11-22T11:59:59.995Z has passed 0.005 s ago",
        ),
        (NOON_MS, "GOOD_TILL_PASSED", "good_till=2025-11-22T12:00:00.000Z has passed 0.000 s ago"),
        (None, "GOOD_TILL_MISSING", "tif=GTD needs good_till"),
    ],
)
def test_a_time_that_is_over_or_missing_is(until_ms: int | None, code: str, text: str) -> None:
    found = settled(TICKET, replace(keyed("leg", GOOD_TILL), good_till_ms=until_ms))

    assert isinstance(found, Settled)
    assert found.obstacle is not None
    assert found.obstacle.code == code
    assert found.obstacle.message.startswith(f"leg 1: {text}")


# --- groups --------------------------------------------------------------------------------------


def test_each_order_of_a_group_gets_its_place_and_one_that_is_alone_none() -> None:
    ids = (OrderId("1-1"), OrderId("1-2"))

    first, second = placed(GroupKind.OCA, (TICKET, keyed("leg")), ids)

    assert (first.group, second.group) == tuple(
        GroupPlace(kind=GroupKind.OCA, leader=ids[0], index=index, size=2) for index in (0, 1)
    )
    assert placed(GroupKind.BRACKET, (TICKET,), ids[:1]) == (TICKET,)
    assert placed(None, (TICKET,), ids[:1]) == (TICKET,)


def test_only_the_exit_of_a_bracket_names_its_entry() -> None:
    ids = (OrderId("1-1"), OrderId("1-2"))
    entry, leg = placed(GroupKind.BRACKET, (TICKET, keyed("leg")), ids)
    _, member = placed(GroupKind.OCA, (TICKET, keyed("leg")), ids)

    named = [leader_coid(coid(1), ticket) for ticket in (entry, leg, member, TICKET)]

    assert named == [None, coid(1), None, None]


# --- algorithms ----------------------------------------------------------------------------------


def test_an_algorithm_is_checked_by_the_brokers_rules() -> None:
    known = FakeInstruments(INSTRUMENT)
    known.algo_rules[INSTRUMENT.conid] = RULES
    wanted = replace(TICKET, algo=PATIENT)

    assert settled(wanted, instruments=known) == Settled(ticket=wanted, instrument=INSTRUMENT)


def test_without_the_brokers_rules_an_algorithm_is_refused() -> None:
    found = settled(replace(TICKET, algo=PATIENT), instruments=FakeInstruments(INSTRUMENT))

    assert isinstance(found, Settled)
    assert found.obstacle is not None
    assert found.obstacle.code == "SERVER_ERROR"


def test_values_take_the_kind_that_the_broker_wants() -> None:
    number, flag, text = ParameterKind.NUMBER, ParameterKind.FLAG, ParameterKind.TEXT
    wanted = algo(
        "Vwap",
        parameter("maxPctVol", "0.1", text),
        parameter("noTakeLiq", "true", text),
        parameter("startTime", "93000", number),
    )

    assert checked(wanted, RULES) == algo(
        "Vwap",
        parameter("maxPctVol", "0.1", number),
        parameter("noTakeLiq", "true", flag),
        parameter("startTime", "93000", text),
    )


VOLUME = parameter("maxPctVol", "0.1", ParameterKind.NUMBER)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (algo("Twap"), "algo 'Twap' is none of this contract's: Adaptive, Vwap"),
        (algo("Adaptive"), "algo Adaptive needs adaptivePriority"),
        (
            algo("Adaptive", parameter("priority", "Urgent")),
            "algo Adaptive takes no parameter 'priority': adaptivePriority",
        ),
        (
            algo("Adaptive", parameter("adaptivePriority", "urgent")),
            "algo Adaptive: adaptivePriority='urgent' is not one of Urgent, Normal, Patient",
        ),
        (
            algo("Adaptive", parameter("adaptivePriority", "true", ParameterKind.FLAG)),
            "algo Adaptive: adaptivePriority='true' is no text",
        ),
        (
            algo("Vwap", VOLUME, VOLUME),
            "algo Vwap: parameter maxPctVol is given twice",
        ),
        *(
            (
                algo("Vwap", parameter("maxPctVol", value, kind)),
                f"algo Vwap: maxPctVol={value!r} is no number",
            )
            for value, kind in (
                ("much", ParameterKind.TEXT),
                ("1e5", ParameterKind.NUMBER),
                ("NaN", ParameterKind.TEXT),
                ("1_000", ParameterKind.TEXT),
                ("true", ParameterKind.FLAG),
            )
        ),
        (
            algo("Vwap", VOLUME, parameter("noTakeLiq", "1", ParameterKind.NUMBER)),
            "algo Vwap: noTakeLiq='1' is neither true nor false",
        ),
        (
            algo("Vwap", VOLUME, parameter("noTakeLiq", "yes")),
            "algo Vwap: noTakeLiq='yes' is neither true nor false",
        ),
    ],
)
def test_what_does_not_fit_the_rules_is_refused_with_what_does(wanted: Algo, message: str) -> None:
    assert checked(wanted, RULES) == Reason(code="ALGO_INVALID", message=message)


def test_a_contract_without_algorithms_says_so() -> None:
    assert checked(PATIENT, ()) == Reason(
        code="ALGO_INVALID", message="algo 'Adaptive' is none of this contract's: it has none"
    )
