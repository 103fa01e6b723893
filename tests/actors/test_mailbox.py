import asyncio
import random
import threading
from collections import defaultdict
from typing import Any

import pykka
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter
from structlog.testing import capture_logs

from engine import metrics
from engine.actors.mailbox import (
    BUDGET,
    ActorPausedError,
    Dispatcher,
    LoopActor,
    LoopRef,
    MailboxFullError,
)
from tests.fakes import quiet, run

FAIL = "fail"


class Note(LoopActor):
    """Writes every message down, with its name; tells others what it is told to."""

    capacity = 100

    def __init__(self, dispatcher: Dispatcher, name: str, book: list[tuple[str, Any]]) -> None:
        super().__init__(dispatcher=dispatcher, name=name)
        self.book = book

    def on_receive(self, message: Any) -> Any:
        if message == FAIL:
            text = "as told"
            raise ValueError(text)
        self.book.append((self.name, message))
        if isinstance(message, dict):
            for ref, what in message.items():
                ref.tell(what)
        return f"{self.name} got {message}"

    def on_stop(self) -> None:
        self.book.append((self.name, "stopped"))


def begin(dispatcher: Dispatcher, book: list[tuple[str, Any]], *names: str) -> list[LoopRef]:
    return [Note(dispatcher, name, book).begin() for name in names]


def count(counter: Counter) -> float:
    return float(counter.labels("Note")._value.get())


def dead_letters(reason: str) -> float:
    return float(metrics.DEAD_LETTERS.labels("Note", reason)._value.get())


def test_an_actor_handles_its_mail_in_the_order_that_it_came_in() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        (ref,) = begin(Dispatcher(), book, "a")

        for number in range(5):
            ref.tell(number)
        before = list(book)
        await quiet()

        assert before == [], "a tell never handles anything itself"
        assert book == [("a", number) for number in range(5)]

    run(scene())


def test_a_flood_to_one_actor_delays_another_by_no_more_than_a_turn() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        flooded, other = begin(Dispatcher(), book, "flooded", "other")

        for number in range(50):
            flooded.tell(number)
        other.tell("first")
        other.tell("second")
        await quiet()

        assert book[:4] == [
            ("flooded", 0), ("other", "first"), ("flooded", 1), ("other", "second")
        ]  # fmt: skip
        assert len(book) == 52

    run(scene())


def test_the_loop_gets_a_look_at_its_sockets_after_each_batch_of_turns() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        refs = begin(Dispatcher(), book, *map(str, range(BUDGET + 1)))

        for ref in refs:
            ref.tell("hello")
        asyncio.get_running_loop().call_soon(lambda: book.append(("loop", "looked")))
        await quiet()

        assert book.index(("loop", "looked")) == BUDGET
        assert len(book) == BUDGET + 2

    run(scene())


def test_what_an_actor_tells_itself_comes_after_what_waits_already() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        ref, other = begin(Dispatcher(), book, "a", "b")

        ref.tell({ref: "to myself"})
        ref.tell("waits")
        other.tell("other")
        await quiet()

        assert [who for who, _ in book] == ["a", "b", "a", "a"]
        assert [what for _, what in book][1:] == ["other", "waits", "to myself"]

    run(scene())


def test_another_thread_may_tell() -> None:
    async def scene() -> list[tuple[str, Any]]:
        book: list[tuple[str, Any]] = []
        threads = set()
        heard = asyncio.Event()

        class Hearing(Note):
            def on_receive(self, message: Any) -> Any:
                threads.add(threading.get_ident())
                if message == "last":
                    heard.set()
                return super().on_receive(message)

        ref = Hearing(Dispatcher(), "a", book).begin()

        def work() -> None:
            for message in ("first", "last"):
                ref.tell(message)

        await asyncio.to_thread(work)
        await heard.wait()

        assert threads == {threading.get_ident()}
        return book

    assert asyncio.run(scene()) == [("a", "first"), ("a", "last")]


def test_an_ask_is_answered_with_what_the_actor_returned() -> None:
    async def scene() -> None:
        (ref,) = begin(Dispatcher(), [], "a")

        answer = await ref.ask("what")

        assert answer == "a got what"

    run(scene())


def test_what_nobody_waits_for_any_more_is_not_done() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        (ref,) = begin(Dispatcher(), book, "a")
        letters = dead_letters("unasked")

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await ref.ask("what")
        ref.tell("next")
        await quiet()

        assert book == [("a", "next")], "who asked was told that nothing came of it"
        assert dead_letters("unasked") == letters + 1

    run(scene())


def test_asking_an_actor_that_is_gone_fails_at_once() -> None:
    async def scene() -> None:
        (ref,) = begin(Dispatcher(), [], "a")
        await ref.stop()

        with pytest.raises(pykka.ActorDeadError, match=r"Note \(a\) is stopped"):
            await ref.ask("what")
        with pytest.raises(pykka.ActorDeadError, match=r"Note \(a\) is stopped"):
            ref.tell("what")

    run(scene())


def test_stopping_comes_after_the_mail_that_is_there_already() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        (ref,) = begin(Dispatcher(), book, "a")
        letters = dead_letters("stopped")

        ref.tell("before")
        stopped = ref.stop()
        ref.tell("after")
        late = ref.ask("late")
        await stopped
        with pytest.raises(pykka.ActorDeadError, match="stopped before handling"):
            await late

        assert book == [("a", "before"), ("a", "stopped")]
        assert not ref.is_alive()
        assert dead_letters("stopped") == letters + 2

    run(scene())


def test_an_actor_that_raises_is_dead_its_mail_is_counted_and_the_others_go_on() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        dispatcher = Dispatcher()
        failed: list[tuple[LoopRef, object, str]] = []
        dispatcher.on_failure = lambda ref, what, error: failed.append((ref, what, str(error)))
        bad, good = begin(dispatcher, book, "bad", "good")
        failures, letters = count(metrics.ACTOR_FAILURES), dead_letters("stopped")
        poisoned = dead_letters("failed")

        bad.tell("before")
        bad.tell(FAIL)
        bad.tell("behind")
        good.tell("on")
        good.tell("and on")
        with capture_logs() as logs:
            await quiet()

        assert failed == [(bad, FAIL, "as told")]
        assert not bad.is_alive()
        assert book == [("bad", "before"), ("good", "on"), ("good", "and on")]
        assert count(metrics.ACTOR_FAILURES) == failures + 1
        assert dead_letters("stopped") == letters + 1
        assert dead_letters("failed") == poisoned + 1
        assert [(line["event"], line["actor"], line.get("reason")) for line in logs] == [
            ("actor_failed", "Note (bad)", None),
            ("dead_letter", "Note (bad)", "failed"),
            ("dead_letter", "Note (bad)", "stopped"),
        ]
        assert {line["message"] for line in logs} == {"str"}

    run(scene())


def test_who_asked_an_actor_that_raises_gets_the_error() -> None:
    async def scene() -> None:
        (ref,) = begin(Dispatcher(), [], "a")

        with pytest.raises(ValueError, match="as told"):
            await ref.ask(FAIL)

    run(scene())


def test_a_supervisor_that_raises_stops_nobody_else() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        dispatcher = Dispatcher()
        seen: list[BaseException] = []

        def raise_too(_ref: LoopRef, _message: object, error: BaseException) -> None:
            text = "the supervisor, too"
            raise RuntimeError(text) from error

        dispatcher.on_failure = raise_too
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: seen.append(context["exception"])
        )
        bad, good = begin(dispatcher, book, "bad", "good")

        bad.tell(FAIL)
        bad.tell("behind")
        good.tell("on")
        good.tell("and on")
        await quiet()

        assert [str(error) for error in seen] == ["the supervisor, too"]
        assert book == [("good", "on"), ("good", "and on")]
        assert dispatcher.depths == {"Note": 0}

    run(scene())


def test_a_full_mailbox_refuses_and_names_its_capacity() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        dispatcher = Dispatcher()
        (ref,) = begin(dispatcher, book, "a")
        ref.tell("on its way")
        for number in range(Note.capacity):
            ref.tell(number)

        with pytest.raises(MailboxFullError, match=r"Note \(a\) has 100 messages waiting"):
            ref.tell("too much")
        with pytest.raises(MailboxFullError):
            ref.ask("too much")
        depths = dict(dispatcher.depths)
        await quiet()
        ref.tell("room again")
        await quiet()

        assert depths == {"Note": Note.capacity + 1}
        assert len(book) == Note.capacity + 2
        assert book[-1] == ("a", "room again")
        assert dispatcher.depths == {"Note": 0}

    run(scene())


def test_depths_count_what_waits_by_class_and_return_to_nothing() -> None:
    async def scene() -> None:
        class Other(Note):
            pass

        book: list[tuple[str, Any]] = []
        dispatcher = Dispatcher()
        (ref,) = begin(dispatcher, book, "a")
        other = Other(dispatcher, "b", book).begin()

        ref.tell(1)
        ref.tell(FAIL)
        ref.tell(3)
        other.tell(4)
        depths = dict(dispatcher.depths)
        await quiet()

        assert depths == {"Note": 3, "Other": 1}
        assert dispatcher.depths == {"Note": 0, "Other": 0}

    run(scene())


def test_what_is_told_from_another_thread_to_a_full_mailbox_is_a_dead_letter() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        (ref,) = begin(dispatcher, [], "a")
        full: list[tuple[LoopRef, object]] = []
        told = asyncio.Event()

        def on_full(where: LoopRef, message: object) -> None:
            full.append((where, message))
            told.set()

        dispatcher.on_full = on_full
        for number in range(Note.capacity + BUDGET + 1):
            dispatcher.post(ref, number, None, pressing=True)

        thread = threading.Thread(target=ref.tell, args=("too much",))
        thread.start()
        thread.join()  # The loop waits here, so the mailbox is full when the message comes.
        await told.wait()

        assert full == [(ref, "too much")]

    asyncio.run(scene())


# --- addresses that outlive their actor ----------------------------------------------------------


def survivor(dispatcher: Dispatcher, book: list[tuple[str, Any]]) -> LoopRef:
    """Start an actor whose address is kept when it fails."""
    (ref,) = begin(dispatcher, book, "a")
    dispatcher.on_failure = lambda failed, _message, _error: dispatcher.pause(failed)
    return ref


def never(_message: object) -> bool:
    return False


def test_mail_waits_while_nobody_is_there_and_another_instance_goes_on_with_it() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        dispatcher = Dispatcher()
        ref = survivor(dispatcher, book)
        again = Note(dispatcher, "a", book)

        ref.tell(FAIL)
        ref.tell("behind")
        await quiet()
        ref.tell("while away")
        await quiet()
        before, alive = list(book), ref.is_alive()
        dispatcher.replace(ref, again, "first", outlived=never)
        ref.tell("after")
        await quiet()

        assert (before, alive) == ([], True)
        assert [what for _, what in book] == ["first", "behind", "while away", "after"]
        assert ref.actor is again
        assert again.ref is ref
        assert dispatcher.depths == {"Note": 0}

    run(scene())


def test_what_outlived_its_meaning_is_not_handled_by_the_next_instance() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        dispatcher = Dispatcher()
        ref = survivor(dispatcher, book)
        letters = dead_letters("restarted")

        for message in (FAIL, "old timer", "news"):
            ref.tell(message)
        await quiet()
        again = Note(dispatcher, "a", book)
        dispatcher.replace(ref, again, outlived=lambda message: message == "old timer")
        await quiet()

        assert book == [("a", "news")]
        assert dead_letters("restarted") == letters + 1

    run(scene())


def test_who_asks_where_nobody_is_hears_so_at_once() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        ref = survivor(dispatcher, [])

        ref.tell(FAIL)
        behind = ref.ask("behind")
        with pytest.raises(ActorPausedError, match=r"Note \(a\) failed before it handled"):
            await behind
        with pytest.raises(ActorPausedError, match="is being rebuilt"):
            await ref.ask("later")

        assert ref.mail is not None
        assert len(ref.mail) == 0

    run(scene())


def test_an_actor_that_fails_outside_of_a_turn_is_away_with_all_its_mail() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        dispatcher = Dispatcher()
        ref = survivor(dispatcher, book)
        other = Note(dispatcher, "b", book).begin()
        other.tell("other")
        ref.tell("on its way")
        ref.tell("behind")

        dispatcher.guarded(ref.actor, ref.actor.on_receive, FAIL)
        await quiet()
        away = list(book)
        dispatcher.replace(ref, Note(dispatcher, "a", book), outlived=never)
        await quiet()

        assert away == [("b", "other")]
        assert book[1:] == [("a", "on its way"), ("a", "behind")]

    run(scene())


def test_an_instance_that_was_replaced_cannot_fail_its_successor() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        ref = survivor(dispatcher, [])
        old = ref.actor
        ref.tell(FAIL)
        await quiet()
        dispatcher.replace(ref, Note(dispatcher, "a", []), outlived=never)

        with capture_logs() as logs:
            dispatcher.guarded(old, old.on_receive, FAIL)

        assert [line["event"] for line in logs] == ["predecessor_failed"]
        assert not ref.paused

    run(scene())


def test_an_address_that_is_given_up_buries_its_mail() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        ref = survivor(dispatcher, [])
        letters = dead_letters("stopped")
        ref.tell(FAIL)
        ref.tell("behind")
        await quiet()

        dispatcher.end(ref)

        assert not ref.is_alive()
        assert dead_letters("stopped") == letters + 1
        assert dispatcher.depths == {"Note": 0}

    run(scene())


def test_what_waits_for_an_actor_can_be_looked_at() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        ref, other = begin(dispatcher, [], "a", "b")
        for message in (1, "two", 3.0):
            ref.tell(message)
        other.tell(b"four")

        assert dispatcher.waiting(ref) == (1, "two", 3.0)
        assert dispatcher.waiting(other) == (b"four",)
        assert dispatcher.is_waiting(float, list)
        assert dispatcher.is_waiting(bytes)
        assert not dispatcher.is_waiting(list)
        assert dispatcher.busy
        await quiet()
        assert not dispatcher.busy

    run(scene())


def test_stopping_takes_the_mail_that_is_there_and_ends_who_is_away() -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        dispatcher = Dispatcher()
        away = survivor(dispatcher, book)
        present, gone = begin(dispatcher, book, "present", "gone")
        away.tell(FAIL)
        await gone.stop()
        present.tell("last")

        await dispatcher.stop((away, present, gone), timeout_s=1)

        assert [ref.is_alive() for ref in (away, present, gone)] == [False] * 3
        assert book == [("gone", "stopped"), ("present", "last"), ("present", "stopped")]

    run(scene())


# --- seeds ---------------------------------------------------------------------------------------


async def _played(seed: int | None) -> list[tuple[str, Any]]:
    """Tell three actors ten messages each, and return the turns as they were taken."""
    turns: list[tuple[str, Any]] = []
    chance = None if seed is None else random.Random(seed)
    dispatcher = Dispatcher(
        chance=chance, on_turn=lambda ref, message: turns.append((ref.actor.name, message))
    )
    book: list[tuple[str, Any]] = []
    refs = begin(dispatcher, book, *"abc")
    for number in range(10):
        for ref in refs:
            ref.tell(number)
    await quiet()
    assert turns == book
    return turns


def test_a_seed_draws_the_turns_and_draws_them_again() -> None:
    async def scene() -> None:
        in_turn = await _played(None)
        first, again, other = await _played(1), await _played(1), await _played(2)

        assert in_turn == [(name, number) for number in range(10) for name in "abc"]
        assert first == again
        assert len({tuple(one) for one in (in_turn, first, other)}) == 3
        for turns in (first, other):
            for name in "abc":
                assert [what for who, what in turns if who == name] == list(range(10))

    run(scene())


def test_a_message_to_an_actor_that_is_gone_is_no_turn() -> None:
    async def scene() -> None:
        turns: list[object] = []
        dispatcher = Dispatcher(on_turn=lambda _ref, message: turns.append(message))
        (ref,) = begin(dispatcher, [], "a")

        ref.tell(FAIL)
        ref.tell("behind")
        await quiet()

        assert turns == [FAIL]

    run(scene())


def test_no_actor_is_in_the_registry_of_pykka() -> None:
    async def scene() -> None:
        ref = Note.start(Dispatcher(), "a", [])

        assert ref.is_alive()
        assert str(ref.actor) == "Note (a)"
        assert pykka.ActorRegistry.get_all() == []

    run(scene())


def test_an_actor_without_on_receive_says_so() -> None:
    async def scene() -> None:
        ref = LoopActor(dispatcher=Dispatcher(), name="a").begin()

        with pytest.raises(NotImplementedError):
            await ref.ask("what")

        assert not ref.is_alive()

    run(scene())


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60
    )
)  # fmt: skip
def test_whoever_tells_what_each_actor_keeps_the_order_of_each_sender(
    tells: list[tuple[str, bool]],
) -> None:
    async def scene() -> None:
        book: list[tuple[str, Any]] = []
        dispatcher = Dispatcher()
        refs = dict(zip("abc", begin(dispatcher, book, *"abc"), strict=True))
        (relay,) = begin(dispatcher, [], "relay")
        expected = defaultdict(list)

        for number, (name, relayed) in enumerate(tells):
            sender = "relay" if relayed else "test"
            expected[name, sender].append(number)
            if relayed:
                relay.tell({refs[name]: (sender, number)})
            else:
                refs[name].tell((sender, number))
        await quiet()

        got = defaultdict(list)
        for name, (sender, number) in book:
            got[name, sender].append(number)
        assert got == expected
        assert set(dispatcher.depths.values()) <= {0}

    run(scene())
