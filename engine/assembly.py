"""The actors of one engine and their gateways, put together: all but the API and the files.

Rule: everything here is given its journal, its clock, its dispatcher and its connections,
so that the same engine runs on sockets and in a simulated world.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from engine.actors.bridge import EngineBridge
from engine.actors.mailbox import Dispatcher
from engine.actors.shell import Clock
from engine.actors.spawner import Spawner
from engine.actors.supervisor import SessionParts, Supervisor
from engine.actors.switchboard import Switchboard
from engine.actors.views import Views
from engine.actors.watched_journal import WatchedJournal
from engine.config.engine import EngineConfig, SessionConfig
from engine.domain.messages import HaltScope
from engine.domain.ports import Journal
from engine.domain.risk import RiskPolicy
from engine.domain.session import SessionSettings, calendar_of
from engine.domain.values import (
    AccountId,
    ConId,
    Mode,
    Scope,
    ScopeKind,
    SessionName,
    TradingState,
)
from engine.gateway.client import SOCKETS, Connector, GatewayClient
from engine.gateway.data import HttpDataGateway
from engine.gateway.feed import WebSocketFeed
from engine.gateway.instrument import HttpInstrumentGateway
from engine.gateway.order import HttpOrderGateway
from engine.gateway.pacing import Pacing, broker_limits
from engine.gateway.session import HttpSessionGateway
from engine.gateway.tls import TlsPolicy
from engine.gateway.wire import Operator, TicketEncoder
from engine.journal.rebuild import Snapshots, without_collector
from engine.journal.snapshot_body import PACKING

STARTED_HALTED: Final = HaltScope(
    scope=Scope(kind=ScopeKind.FIRM),
    level=TradingState.HALT,
    reason="a live engine starts halted; see `engine resume`",
    by="engine",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an engine runs on. The defaults are this machine's clocks and sockets."""

    clock: Clock = field(default_factory=Clock)
    dispatcher: Dispatcher = field(default_factory=Dispatcher)
    connector: Connector = SOCKETS
    chance: random.Random = field(default_factory=random.Random)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySession:
    """What one configured session reaches its gateway with."""

    client: GatewayClient
    feed: WebSocketFeed
    reads: HttpSessionGateway
    parts: SessionParts


class Assembly:
    """One engine without its API: `open` it, `rebuild` it, `begin`; `close` ends it."""

    def __init__(
        self,
        config: EngineConfig,
        *,
        policy: RiskPolicy,
        journal: Journal,
        surroundings: Surroundings,
        on_drain: Callable[[], None],
    ) -> None:
        self.config = config
        self.journal = WatchedJournal(journal)
        self.snapshots = Snapshots(self.journal, records=config.journal.snapshot_records)
        self._snapshotting: asyncio.Task[None] | None = None
        self.clock = surroundings.clock
        self.dispatcher = surroundings.dispatcher
        encoder = TicketEncoder(operator=_operator(config))
        self.board = Switchboard(
            journal=self.journal,
            views=Views(PACKING),
            shard=config.shard,
            clock=self.clock,
            policy_of=config.orders.policy_of,
        )
        spawner = Spawner(
            dispatcher=self.dispatcher,
            clock=self.clock,
            switchboard=self.board,
            encoder=encoder,
        )
        self.supervisor = Supervisor(
            dispatcher=self.dispatcher,
            clock=self.clock,
            switchboard=self.board,
            spawner=spawner,
            policy=policy,
            chance=surroundings.chance,
        )
        self.bridge = EngineBridge(
            supervisor=self.supervisor,
            switchboard=self.board,
            clock=self.clock,
            shard=config.shard,
            encoder=encoder,
            gateways={SessionName(item.name): item.gateway for item in config.sessions},
            on_drain=on_drain,
            without_market_data=[
                SessionName(item.name) for item in config.sessions if not item.streams_market_data
            ],
        )
        self.journal.on_commit = self.bridge.journal_advanced
        self.journal.on_failure = self.bridge.journal_failed
        self.sessions = [_build_session(config, item, surroundings) for item in config.sessions]

    async def open(self) -> None:
        """Make the connections' pools; nothing is sent before `begin`."""
        for session in self.sessions:
            await session.client.start()
            self.supervisor.add_session(session.parts)

    async def rebuild(self) -> int:
        """Bring back what the journal knows, and return its last record; 0 when it is new.

        A live engine comes back halted. Raises `JournalUnsupported` when a newer version
        wrote one of the records.
        """
        with without_collector():
            history = await self.snapshots.rebuild()
            self.supervisor.rebuild(history)
        if history.seq:
            for session in self.sessions:
                session.reads.defer_reads()
        if self.config.mode is Mode.LIVE:
            # A live engine trades only after a person has looked at it.
            self.supervisor.halt(STARTED_HALTED)
        return history.seq

    def begin(self) -> None:
        """Let rebuilt orders go on and the sessions log in."""
        self.supervisor.start()
        self.bridge.started = True
        self._snapshotting = asyncio.get_running_loop().create_task(self.snapshots.run())

    def measure(self) -> None:
        """Copy what is counted cheaply into the metrics; call it every second or so."""
        self.dispatcher.measure()
        for session in self.sessions:
            session.client.measure()

    async def close(self) -> None:
        """Stop the actors in order, then close every connection."""
        if self._snapshotting is not None:
            self._snapshotting.cancel()
            await asyncio.wait([self._snapshotting])
        await self.supervisor.stop()
        for session in reversed(self.sessions):
            await session.feed.close_all()
            await session.client.close()


def _operator(config: EngineConfig) -> Operator | None:
    found = config.futures_operator
    if found is None:
        return None
    return Operator(ext_operator=found.ext_operator, manual=found.manual)


def _build_session(
    config: EngineConfig, item: SessionConfig, surroundings: Surroundings
) -> GatewaySession:
    clock = surroundings.clock
    client = GatewayClient(
        session=SessionName(item.name),
        url=item.gateway,
        tls=TlsPolicy(
            verify=item.tls.verify, ca_file=item.tls.ca_file, pin_sha256=item.tls.pin_sha256
        ),
        pacing=Pacing(
            requests_per_s=config.pacing.requests_per_s,
            in_flight=config.pacing.in_flight,
            limits=broker_limits(
                orders_interval_ms=config.pacing.orders_interval_ms,
                trades_interval_ms=config.pacing.trades_interval_ms,
            ),
            penalty_ms=config.pacing.penalty_ms,
            penalty_ms_max=config.pacing.penalty_ms_max,
        ),
        clock=clock.monotonic_ns,
        connector=surroundings.connector,
    )
    feed = WebSocketFeed(
        client, intervals_ms=config.market_data.bar_intervals_ms, wall_clock=clock.wall_ns
    )
    reads = HttpSessionGateway(client)
    instruments = HttpInstrumentGateway(client)
    conids = config.market_data.subscriptions if item.streams_market_data else ()
    parts = SessionParts(
        settings=_settings(config, item),
        session_gateway=reads,
        order_gateway=HttpOrderGateway(
            client, operator=_operator(config), forget_rules=instruments.forget
        ),
        feed_gateway=feed,
        instrument_gateway=instruments,
        data_gateway=HttpDataGateway(client, wall_clock=clock.wall_ns),
        conids=tuple(map(ConId, conids)),
    )
    return GatewaySession(client=client, feed=feed, reads=reads, parts=parts)


def _settings(config: EngineConfig, item: SessionConfig) -> SessionSettings:
    accounts = None if item.accounts == "all" else tuple(map(AccountId, item.accounts))
    return SessionSettings(
        name=SessionName(item.name),
        mode=config.mode,
        accounts=accounts,
        compete_once=item.compete == "once",
        suppress=item.suppress_questions,
        calendar=None if item.calendar == "none" else calendar_of(item.calendar),
        login_grace_ms=item.login_grace_s * 1_000,
    )
