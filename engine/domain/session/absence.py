"""What it takes to say that the broker has no such order.

Not to see an order proves nothing: lists are cold, late, frozen, cut off, of another login,
or empty for no reason at all. So a read of a list counts as not having shown it only when
nothing speaks against that read, and then it takes several, over some time:

- at least three reads of the order list, 5 s apart and over 30 s, each whole, each made
  plain after one that cleared the broker's cache, each in the login of the order's attempt,
  with a keep-alive before it and one after it, far from the broker's resets, with a stream
  that works, and each dated by an order of the account that changed after ours was sent;
- at least two such reads of the trades;
- positions that the known executions explain, where they were read before it was sent;
- and the last list asked for later after the order than the broker's lists were ever seen
  to need, and later than the last moment at which an answer to it may still come.

The newest read of each kind has to be one that counts: a list that turns out to be frozen
may have been so for a while. Whatever shows the order, anywhere, ends it: then it is there.

Pure: reads come in as values, what they prove goes out as `Evidence`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from engine.domain.messages import OrdersRead
from engine.domain.ports import ANSWER_MS_MAX, LATE_ANSWER_MS_MAX
from engine.domain.session.lane import SEND_WINDOW_MS
from engine.domain.values import BrokerOrderId, Evidence

LIST_READS_MIN: Final = 3
TRADE_READS_MIN: Final = 2
GAP_MS_MIN: Final = 5_000
SPAN_MS_MIN: Final = 30_000
HORIZON_MS_MIN: Final = SEND_WINDOW_MS + ANSWER_MS_MAX + LATE_ANSWER_MS_MAX
"""So long after the search began an answer to what was sent may still come, and name it.

The order's last byte, or its last reply's, left by the end of its turn, and the search began
after that turn was given: whatever was answered within this time has been heard.
"""

HORIZON_LAGS: Final = 3
"""So many times the largest lag that was measured must be over."""

READS_MAX: Final = 100
"""So many reads are kept of an order that is looked for on and on: the first, and the last."""

LIST_ROWS_MAX: Final = 1_000
"""The broker's list ends after so many rows; a longer one is cut off."""

_MS: Final = 1_000_000
_UNDATED: Final = (
    "it shows no order of the account that changed since it was sent, so nobody knows how old it is"
)


def is_whole(message: OrdersRead) -> bool:
    """Say whether a list has all orders of the login, as far as that can be told."""
    uncut = len(message.rows) < LIST_ROWS_MAX
    return message.complete and uncut and message.account is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A read that did not show an order, and what speaks for it. Times are monotonic.

    `complete`: every row could be read, and none was cut off. `ready`: the session was
    ready when it came. `streaming`: the stream works and told what the lists show. `calm`:
    the broker resets and maintains nothing within ten minutes. `same_login`: it is of the
    brokerage login that the order was sent in. `behind`: it lacks what was told before.
    """

    asked_ns: int
    ended_ns: int
    complete: bool
    ready: bool
    streaming: bool
    calm: bool
    same_login: bool
    behind: bool

    @property
    def flaw(self) -> str | None:
        """Why it does not count, in words; None when nothing speaks against it."""
        return next((words for found, words in _flaws(self) if found), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRead(Read):
    """A read of the order list.

    `refreshed`: the one before it cleared the broker's cache. `nameless`: it shows an order
    without an id of anybody's, of the same contract and side, that may be it. `canaries`
    are the orders of the account that changed after it was sent, as this list shows.
    """

    refreshed: bool
    nameless: bool
    canaries: tuple[BrokerOrderId, ...]


def _flaws(read: Read) -> Iterator[tuple[bool, str]]:
    yield (not read.complete, "a row of it could not be read, or it was cut off")
    yield (not read.ready, "the session was not ready")
    yield (not read.streaming, "the stream was away, or may have been mute")
    yield (not read.calm, "the broker resets or maintains its systems within 10 minutes")
    yield (not read.same_login, "it is of another login than the one that it was sent in")
    yield (read.behind, "it lacked what was told before, so it is late or frozen")
    if isinstance(read, ListRead):
        yield (not read.refreshed, "the broker's cache was not cleared right before it")
        yield (read.nameless, "it shows an order without a reference that may be it")
        yield (not read.canaries, _UNDATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What else is known when the reads are weighed.

    `sent_ns` is when the order was sent, `sought_ns` when the search for it began, both
    monotonic. `lag_ms_max` is how far the broker's lists were behind at most.
    `positions_agree` is None where the positions were not read before it was sent;
    `positions_due` is True where they were, and not since.
    """

    sent_ns: int
    sought_ns: int
    now_ns: int
    healthy_ms: int
    lag_ms_max: int
    provable: bool
    positions_agree: bool | None
    positions_due: bool


AnyRead = TypeVar("AnyRead", bound=Read)


class Absence:
    """The reads that did not show one order."""

    def __init__(self) -> None:
        self.seen = False
        """True once anything showed it; then it is there."""
        self._lists: list[ListRead] = []
        self._trades: list[Read] = []
        self._waiting: list[Read] = []
        self._list_flaw: str | None = None
        self._trade_flaw: str | None = None
        self._same_login = False

    def begin_login(self) -> None:
        """What was read is of a login that is gone."""
        self._lists.clear()
        self._trades.clear()
        self.doubt()

    def doubt(self) -> None:
        """The login, or the gateway, is in doubt: what no keep-alive confirmed is void."""
        self._waiting.clear()

    @property
    def waits_for_keep_alive(self) -> bool:
        """True when a keep-alive would make reads count."""
        return bool(self._waiting)

    def add(self, read: Read) -> None:
        """Take a read that did not show it."""
        flaw = read.flaw
        if isinstance(read, ListRead):
            self._list_flaw = flaw
            self._same_login = read.same_login
        else:
            self._trade_flaw = flaw
        if flaw is None:
            self._waiting.append(read)

    def confirm(self, asked_ns: int) -> None:
        """A keep-alive that was sent at that time found the login as it was."""
        waiting, self._waiting = self._waiting, []
        for read in waiting:
            if read.ended_ns > asked_ns:
                self._waiting.append(read)
            elif isinstance(read, ListRead):
                _count(self._lists, read)
            else:
                _count(self._trades, read)

    def weigh(self, known: Circumstances) -> Evidence:
        """Return what there is; it is a proof when nothing is missing."""
        sought_ms = (known.sought_ns - known.sent_ns) // _MS
        horizon_ms = max(sought_ms + HORIZON_MS_MIN, HORIZON_LAGS * known.lag_ms_max)
        canaries = dict.fromkeys(one for read in self._lists for one in read.canaries)
        return Evidence(
            elapsed_ms=(known.now_ns - known.sent_ns) // _MS,
            healthy_ms=known.healthy_ms,
            horizon_ms=horizon_ms,
            list_reads=len(self._lists),
            trade_reads=len(self._trades),
            canaries=tuple(canaries),
            same_login=self._same_login,
            positions_agree=known.positions_agree,
            missing=tuple(words for lacks, words in self._clauses(known, horizon_ms) if lacks),
        )

    def _clauses(self, known: Circumstances, horizon_ms: int) -> Iterator[tuple[bool, str]]:
        lists, trades = len(self._lists), len(self._trades)
        span_ms = (self._lists[-1].asked_ns - self._lists[0].asked_ns) // _MS if lists else 0
        yield (self.seen, "the broker showed it")
        yield (not known.provable, "it was seen before, or a change of it is open")
        yield (
            lists < LIST_READS_MIN,
            f"{lists} of {LIST_READS_MIN} reads of the order list count"
            + self._why_not(self._list_flaw),
        )
        yield (
            lists >= LIST_READS_MIN and self._list_flaw is not None,
            f"the newest read of the order list does not count: {self._list_flaw}",
        )
        yield (
            lists >= LIST_READS_MIN and span_ms < SPAN_MS_MIN,
            f"the reads of the order list span {span_ms} of {SPAN_MS_MIN} ms",
        )
        yield (
            trades < TRADE_READS_MIN,
            f"{trades} of {TRADE_READS_MIN} reads of the trades count"
            + self._why_not(self._trade_flaw),
        )
        yield (
            trades >= TRADE_READS_MIN and self._trade_flaw is not None,
            f"the newest read of the trades does not count: {self._trade_flaw}",
        )
        yield (known.positions_due, "the positions of the account were not read since")
        yield (
            known.positions_agree is False,
            "the positions of the account moved by more than the executions known",
        )
        last_ns = self._lists[-1].asked_ns if lists else known.now_ns
        last_ms = (last_ns - known.sent_ns) // _MS
        yield (
            last_ms < horizon_ms,
            f"the last list that counts was read {last_ms} of {horizon_ms} ms after it was sent",
        )

    def _why_not(self, flaw: str | None) -> str:
        if flaw is None and self._waiting:
            flaw = "no keep-alive was answered after it"
        return "" if flaw is None else f"; the last does not: {flaw}"


def _count(reads: list[AnyRead], read: AnyRead) -> None:
    """Let a read count, unless it came too soon after the one before."""
    if not reads or (read.asked_ns - reads[-1].asked_ns) >= GAP_MS_MIN * _MS:
        reads.append(read)
        if len(reads) > READS_MAX:
            del reads[1]
