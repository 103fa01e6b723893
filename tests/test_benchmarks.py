"""The benchmarks compare like with like. Nothing here looks at a time."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import actors, feed, journal, memory, submit
from benchmarks.__main__ import main
from benchmarks.contest import (
    Clock,
    Contender,
    Contest,
    Digest,
    DigestMismatchError,
    Lap,
    Result,
    Score,
    check,
    hold,
    score,
)
from benchmarks.gateway import ACCOUNT
from benchmarks.relay import REQUEST_BYTES, Relay
from benchmarks.report import table
from benchmarks.stream import FULLS, MIX, TRADES, Kind, make_stream
from engine.journal import codec

MESSAGES = 1_500


def counting(name: str, costs: list[int], order: list[str], digest: Digest) -> Contender:
    """Make a contender whose laps cost what was agreed, and who signs in for each."""
    left = iter(costs)

    def lap() -> Lap:
        order.append(name)
        return Lap(cost=next(left), digest=digest)

    return Contender(name=name, lap=lap)


def contest(*contenders: Contender) -> Contest:
    return Contest(
        name="counting",
        what="nothing",
        operation="number",
        operations=10,
        clock=Clock.CPU,
        contenders=contenders,
    )


@pytest.mark.parametrize("shares", [MIX, TRADES, FULLS], ids=["mix", "trades", "full"])
def test_every_reader_of_the_feed_finds_what_the_stream_says(
    shares: Mapping[Kind, int],
) -> None:
    stream = make_stream(shares, messages=MESSAGES)

    found = [contender.lap().digest for contender in feed.contenders(stream)]

    assert found[1:] == found[:1] * 2
    assert (found[0]["trades"], found[0]["others"]) == (stream.trades, stream.heartbeats)
    assert min(found[0][name] for name in ("bars", "volume", "prices", "quotes")) > 0


def test_a_stream_is_the_same_for_a_seed_and_another_for_another() -> None:
    first = make_stream(MIX, messages=100, seed=1)

    assert make_stream(MIX, messages=100, seed=1) == first
    assert make_stream(MIX, messages=100, seed=2) != first


@pytest.mark.parametrize(
    ("text", "value"), [("189.25", 189.25), ("1,300", 1300.0), ("5.66M", 5.66e6), ("2.5K", 2500)]
)
def test_the_peers_read_numbers_as_the_broker_writes_them(text: str, value: float) -> None:
    assert feed.number(text) == value


def test_both_kinds_of_actors_do_the_same() -> None:
    ring, crowded, many, start, both, life, most = map(
        check, actors.contests(hops=100, crowd=7, receivers=20, tells=3, lives=5, live=50)
    )

    assert ring == {
        "actors": actors.RING,
        "messages": 100,
        "total": sum(range(100)),
        "most": 10,
        "started": actors.RING,
        "stopped": 0,
    }
    assert crowded == {**ring, "actors": actors.RING + 7, "started": actors.RING + 7}
    assert (many["messages"], many["most"], many["started"]) == (60, 3, 20)
    assert (start["started"], start["stopped"]) == (7, 0)
    assert (both["started"], both["stopped"]) == (7, 7)
    assert (life["started"], life["stopped"]) == (5, 5)
    assert (most["started"], most["messages"]) == (50, 50)


@pytest.mark.parametrize("kind", ["loop", "orders", "known", "threads"])
def test_the_memory_of_actors_is_that_of_all_of_them(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = iter([1_000, 51_000])
    monkeypatch.setattr(memory, "resident_bytes", lambda: next(readings))

    assert memory.grow(kind, 20) == (50_000, 20)


def test_the_memory_of_actors_is_measured_in_processes_of_their_own() -> None:
    is_told = Path("/proc/self/statm").exists()

    found = [check(contest) for contest in memory.contests(actors=5, live=6)]

    assert found == ([{"actors": 5}, {"actors": 6}] if is_told else [])


def test_every_journal_holds_the_same_records(tmp_path: Path) -> None:
    bodies = [len(codec.encode(journal.intent(number).message)) for number in range(1, 7)]

    found = list(map(check, journal.contests(tmp_path, singles=4, bursts=2, burst=3)))

    assert found == [
        {"records": 4, "seqs": 10, "bytes": sum(bodies[:4])},
        {"records": 6, "seqs": 21, "bytes": sum(bodies)},
    ]
    assert list(tmp_path.iterdir()) == [], "the files are removed"


def test_a_contender_who_did_other_work_is_named() -> None:
    ours = counting("ours", [1], [], {"bars": 5, "trades": 9})
    peer = counting("peer", [1], [], {"bars": 4, "trades": 9})

    with pytest.raises(DigestMismatchError) as refused:
        check(contest(ours, peer))

    assert str(refused.value) == "counting: peer did other work: bars is 4, ours has 5"


def test_work_that_changes_between_rounds_is_refused() -> None:
    digests = iter([{"bars": 5}, {"bars": 6}])
    ours = Contender(name="ours", lap=lambda: Lap(cost=1, digest=next(digests)))

    with pytest.raises(DigestMismatchError, match="bars is 6, ours has 5"):
        hold(contest(ours), rounds=1)


def test_contenders_run_in_turns_and_each_round_begins_with_another() -> None:
    order: list[str] = []
    three = [counting(name, [1] * 4, order, {}) for name in "abc"]

    hold(contest(*three), rounds=3)

    assert "".join(order) == "abc" + "abc" + "bca" + "cab", "the first three warm up"


def test_laps_that_take_long_are_run_in_fewer_rounds() -> None:
    order: list[str] = []
    long = replace(contest(counting("a", [1] * 5, order, {})), rounds_max=2)

    asked, few = hold(long, rounds=5), hold(long, rounds=1)

    assert (asked.rounds, few.rounds) == (2, 1)
    assert order == ["a"] * 5, "a lap before each, to warm up"


def test_a_score_is_the_median_of_one_operation_and_its_ratio_to_ours() -> None:
    found = score({"ours": [30, 10, 20], "peer": [90, 50, 40]}, 10)

    assert found == (
        Score(name="ours", median=2.0, ratio=1.0, least=1.0, most=3.0),
        Score(name="peer", median=5.0, ratio=2.5, least=4.0, most=9.0),
    )


def test_the_table_shows_medians_ratios_and_ranges() -> None:
    scores = score({"ours": [30, 10, 20], "peer": [90, 50, 40]}, 10)

    drawn = table(Result(contest=contest(), rounds=3, scores=scores))

    assert drawn.splitlines() == [
        "counting: nothing",
        "  CPU time of the process; 3 rounds of 10 numbers",
        "  contender                        ns/number    ratio   min - max",
        "  ours                                   2.0    1.00x   1.0 - 3.0",
        "  peer                                   5.0    2.50x   4.0 - 9.0",
    ]


def test_a_run_prints_a_table_and_writes_the_same_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"

    code = main(["--only", "journal", "--rounds", "1", "--json", str(file)])

    written = json.loads(file.read_text())
    assert code == 0
    assert [one["name"] for one in written["contests"]] == [
        "journal/one-by-one",
        "journal/100-at-once",
    ]
    assert all(one["scores"][0]["ratio"] == 1 for one in written["contests"])
    assert capsys.readouterr().out.count("engine SqliteJournal") == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rounds", "0"], "found '0', needs a number of rounds of at least 1"),
        (["--only", "weather"], "invalid choice: 'weather'"),
        (["--json", "no/such/folder/file"], "needs a file in a folder that exists"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)

    assert exited.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("name", ["engine, in process", "aiohttp, bare POST"])
def test_an_order_of_a_contender_is_acknowledged_and_taken_away(name: str, tmp_path: Path) -> None:
    async def work(gateway: submit.Gateway) -> list[str]:
        async with AsyncExitStack() as stack:
            place, take_away = await submit._DESKS[name](gateway, tmp_path, stack)
            await place(1)
            await take_away()
            await place(2)  # An order of the same number would be refused.
            return ["acknowledged", "taken away", "acknowledged"]

    with submit._gateway() as gateway:
        told = asyncio.run(work(replace(gateway, account=ACCOUNT)))

    assert told == ["acknowledged", "taken away", "acknowledged"]


def test_the_relay_passes_bytes_on_and_sees_a_long_request() -> None:
    async def work() -> tuple[bytes, bytes, list[bool]]:
        heard = bytearray()

        async def gateway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(1 << 16):
                heard.extend(data)
                writer.write(data.upper())
            writer.close()

        server = await asyncio.start_server(gateway, "127.0.0.1", 0)
        relay = Relay(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        url = await relay.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        seen, answers = [], b""
        for request in (b"a", b"b" * REQUEST_BYTES.start):
            writer.write(request)
            answers += await reader.readexactly(len(request))
            seen.append(relay.seen.is_set())
        writer.close()
        await writer.wait_closed()
        await relay.stop()
        server.close()
        await server.wait_closed()
        return bytes(heard), answers, seen

    heard, answers, seen = asyncio.run(work())

    assert heard == b"a" + b"b" * REQUEST_BYTES.start
    assert answers == heard.upper()
    assert seen == [False, True]
