"""`engine sim faults` against a control port."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.gateway.wire.refusals import refusal_code
from engine.sim import ControlPort, SimConfig, SimGateway
from engine.sim.faults import FAULTS, PRESETS, Faults
from tests.cli.terminal import Terminal

WAIT_S = 10


class Running:
    """Two gateways and their control port, in a thread of their own."""

    def __init__(self) -> None:
        self.gateways = [SimGateway(SimConfig(username=name)) for name in ("one", "two")]
        self.url = ""
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        control = ControlPort(self.gateways)
        await control.start()
        self.url = control.url
        self._started.set()
        await self._stop.wait()
        await control.stop()

    @contextmanager
    def running(self) -> Iterator["Running"]:
        self._thread.start()
        assert self._started.wait(WAIT_S)
        try:
            yield self
        finally:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(WAIT_S)


@pytest.fixture
def simulator() -> Iterator[Running]:
    with Running().running() as running:
        yield running


def test_without_words_every_fault_of_every_login_is_shown(
    simulator: Running, terminal: Terminal
) -> None:
    simulator.gateways[0].faults.mute_sor = True

    ended = terminal.types("sim", "faults", "--control", simulator.url)

    lines = ended.stdout.splitlines()
    assert ended.code == 0
    assert "one  mute_sor  true  struck 0" in lines
    assert "two  mute_sor  false  struck 0" in lines
    assert len(lines) == 2 * len(FAULTS)


def test_words_change_faults_and_do_actions_in_their_order(
    simulator: Running, terminal: Terminal
) -> None:
    ended = terminal.types(
        "sim", "faults", "--control", simulator.url, "--session", "one", "lose_sor=2",
        "reject_next=Not today.", "external", "conid=265598", "quantity=3", "silence",
        "seconds=0.5", "competing=true",
    )  # fmt: skip

    one, two = simulator.gateways
    lines = ended.stdout.splitlines()
    assert (ended.code, len(lines)) == (0, 5)
    assert lines[0] == "one  lose_sor  2  struck 0"
    assert lines[1] == 'one  reject_next  "Not today."  struck 0'
    assert json.loads(lines[2].partition("external")[2]) == {"order": min(one.venue.orders)}
    assert lines[3:] == ['one  silence  {"silent_for_s": 0.5}', "one  competing  true  struck 0"]
    [order] = one.venue.orders.values()
    assert order.ticket.quantity == 3
    assert one.faults.competing is True
    assert (two.venue.orders, two.faults.competing) == ({}, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("external", "conid=265598", "order_type=LMT"), "external takes account, conid, "),
        (("external", "conid=265598", "explode"), "explode is neither NAME=VALUE nor one of"),
        (("compete", "mute_sor=3"), "mute_sor is 3, allowed is true or false"),
        (("compete", "external", "conid=1"), "conid is not valid: 1"),
        (("compete", "silence"), "seconds is None, needed is a number of 0 or more"),
    ],
)
def test_nothing_is_done_before_every_word_is_understood(
    words: tuple[str, ...], message: str, simulator: Running, terminal: Terminal
) -> None:
    ended = terminal.types("sim", "faults", "--control", simulator.url, *words)

    assert (ended.code, ended.stdout) == (1, "")
    assert message in ended.stderr
    assert [row.venue.orders for row in simulator.gateways] == [{}, {}]
    assert [row.faults.competing for row in simulator.gateways] == [False, False]


def test_programs_get_one_document(simulator: Running, terminal: Terminal) -> None:
    command = ("sim", "faults", "--control", simulator.url, "--json")

    all_faults = terminal.types(*command)
    done = terminal.types(*command, "--session", "one", "lose_sor=2", "silence", "seconds=0")
    half = terminal.types(*command, "lose_sor=0", "cancel_external", "order=7")

    faults = {
        name: row.faults for name, row in zip(("one", "two"), simulator.gateways, strict=True)
    }
    assert json.loads(all_faults.stdout).keys() == {"one", "two"}
    assert [answer["one"] for answer in json.loads(done.stdout)] == [
        {"values": faults["one"].values() | {"lose_sor": 2}, "struck": {}},
        {"silent_for_s": 0.0},
    ]
    assert (half.code, half.stderr) == (1, "engine: OrderID 7 doesn't exist\n")
    assert len(json.loads(half.stdout)) == 1


def test_the_refusals_of_the_documentation_are_some_that_an_engine_knows() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text("utf-8")
    texts = re.findall(r'reject_next="([^"]+)"', page)

    assert texts
    assert [text for text in texts if refusal_code(text, 200) is None] == []


def test_a_value_in_percent_is_a_chance_and_clear_takes_everything_back(
    simulator: Running, terminal: Terminal
) -> None:
    command = ("sim", "faults", "--control", simulator.url, "--session", "one")

    given = terminal.types(*command, "lose_sor=5%", "mute_sor=true")
    chances = dict(simulator.gateways[0].faults.chances)
    cleared = terminal.types(*command, "clear")

    assert given.stdout.splitlines() == [
        "one  lose_sor  0  chance 5%  struck 0",
        "one  mute_sor  true  struck 0",
    ]
    assert chances == {"lose_sor": 0.05}
    assert cleared.stdout == "one  clear  0 faults have a chance\n"
    assert simulator.gateways[0].faults.values() == Faults().values()


def test_a_preset_is_named_like_an_action(simulator: Running, terminal: Terminal) -> None:
    ended = terminal.types("sim", "faults", "--control", simulator.url, "bad-night")

    wanted = PRESETS["bad-night"]["chances"]
    assert len(ended.stdout.splitlines()) == 2
    assert [row.faults.chances for row in simulator.gateways] == [wanted, wanted]


def test_the_list_says_what_each_fault_is(simulator: Running, terminal: Terminal) -> None:
    command = ("sim", "faults", "--control", simulator.url)

    listed = terminal.types(*command, "list")
    document = json.loads(terminal.types(*command, "list", "--json").stdout)

    assert "  lose_sor  A frame of order updates is lost (a whole number" in listed.stdout
    assert sorted(document) == sorted(FAULTS)
    assert document["lose_sor"]["kind"] == "count"


def test_an_empty_value_is_none(simulator: Running, terminal: Terminal) -> None:
    simulator.gateways[0].faults.reject_next = "Not today."

    terminal.types("sim", "faults", "--control", simulator.url, "reject_next=")

    assert simulator.gateways[0].faults.reject_next is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("explode",), "explode is neither NAME=VALUE nor one of answer_cancels, "),
        (("explode=1",), "explode is no fault; `engine sim faults list` shows"),
        (("mute_sor=3",), "mute_sor is 3, allowed is true or false"),
        (("silence", "seconds=x"), "seconds is 'x', needed is a number"),
        (("--session", "three"), "session is three, known are one, two"),
    ],
)
def test_what_is_refused_is_said_and_is_a_failure(
    words: tuple[str, ...], message: str, simulator: Running, terminal: Terminal
) -> None:
    ended = terminal.types("sim", "faults", "--control", simulator.url, *words)

    assert ended.code == 1
    assert message in ended.stderr


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ("http://127.0.0.1:1", "no simulator answers at http://127.0.0.1:1: "),
        ("127.0.0.1:5099", "the control address is '127.0.0.1:5099', needed is http://HOST:PORT"),
    ],
)
def test_an_address_without_a_simulator_is_named(
    control: str, message: str, terminal: Terminal
) -> None:
    ended = terminal.types("sim", "faults", "--control", control)

    assert ended.code == 1
    assert message in ended.stderr


def test_without_an_address_it_is_a_usage_error(terminal: Terminal) -> None:
    assert terminal.types("sim", "faults").code == 2
