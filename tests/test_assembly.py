"""The parts of one engine, put together as its configuration says."""

import asyncio
from pathlib import Path
from typing import Any

import yaml

from engine.assembly import Assembly, Surroundings
from engine.config.engine import EngineConfig, load_engine_config
from engine.config.risk import load_risk_policy
from engine.domain.ports import OrderFilter
from engine.domain.session import SessionSettings, calendar_of
from engine.domain.values import ConId, Mode, Scope, ScopeKind, SessionName
from tests.fakes import FakeJournal

SESSION = {
    "name": "main",
    "gateway": "https://127.0.0.1:5000",
    "tls": {"verify": "insecure_loopback"},
    "accounts": "all",
}


def written(
    folder: Path, *, mode: str = "paper", streamed: tuple[int, ...] = (), **changes: Any
) -> EngineConfig:
    (folder / "risk.yaml").write_text("version: 1\ndefaults: {}\n")
    file = folder / "engine.yaml"
    config = {
        "mode": mode,
        "risk": {"file": "risk.yaml"},
        "market_data": {"subscriptions": list(streamed)},
        "sessions": [SESSION | changes],
    }
    file.write_text(yaml.safe_dump(config))
    return load_engine_config(file, {})


def assembled(config: EngineConfig) -> Assembly:
    return Assembly(
        config,
        policy=load_risk_policy(config.risk.file),
        journal=FakeJournal(),
        surroundings=Surroundings(),
        on_drain=lambda: None,
    )


def test_a_session_is_built_as_it_is_configured(tmp_path: Path) -> None:
    config = written(
        tmp_path,
        compete="once",
        suppress_questions=["o163", "o354"],
        calendar="europe",
        login_grace_s=60,
    )

    async def scene() -> None:
        (session,) = assembled(config).sessions

        assert session.parts.settings == SessionSettings(
            name=SessionName("main"),
            mode=Mode.PAPER,
            accounts=None,
            compete_once=True,
            suppress=("o163", "o354"),
            calendar=calendar_of("europe"),
            login_grace_ms=60_000,
        )

    asyncio.run(scene())


def test_a_simulated_gateway_has_no_nights(tmp_path: Path) -> None:
    config = written(tmp_path, calendar="none")

    async def scene() -> None:
        (session,) = assembled(config).sessions

        assert session.parts.settings.calendar is None

    asyncio.run(scene())


def test_only_a_session_with_market_data_streams(tmp_path: Path) -> None:
    silent = written(tmp_path, market_data="off", streamed=(265598,))
    streaming = written(tmp_path, streamed=(265598,))

    async def scene() -> None:
        built = [assembled(config).sessions[0] for config in (silent, streaming)]

        assert [one.parts.conids for one in built] == [(), (ConId(265598),)]

    asyncio.run(scene())


def test_a_live_engine_begins_halted(tmp_path: Path) -> None:
    config = written(tmp_path, mode="live", accounts=["U1234567"])

    async def scene() -> None:
        assembly = assembled(config)
        await assembly.open()

        assert await assembly.rebuild() == 0

        assert Scope(kind=ScopeKind.FIRM) in assembly.supervisor.halts
        assert assembly.bridge.orders(OrderFilter()) == ()
        await assembly.close()

    asyncio.run(scene())
