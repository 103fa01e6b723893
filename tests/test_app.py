"""The composition root: what a start refuses, what it leaves behind, and how it stops."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from structlog.testing import capture_logs

from engine import app as app_file
from engine import metrics
from engine.api.server import BindRefused
from engine.app import App, run, serve
from engine.assembly import Assembly
from engine.config.engine import EngineConfig, load_engine_config
from engine.config.risk import load_risk_policy
from engine.config.strict_yaml import ConfigError
from engine.config.watch import FileWatch
from engine.domain.messages import HaltScope, LimitsLoaded, ResumeScope
from engine.domain.values import (
    AccountId,
    Scope,
    ScopeKind,
    TradingState,
)
from engine.journal import JournalError, JournalLocked, SqliteJournal
from engine.sim.certificate import load_or_make_certificate
from tests.actors.house import House, ready_house
from tests.fakes import quiet, skip
from tests.fakes import run as run_skipping

ACCOUNT = AccountId("DU1234567")
FIRM = Scope(kind=ScopeKind.FIRM)
HALT = HaltScope(scope=FIRM, level=TradingState.HALT, reason="a test", by="a test")


def risk_text(*, version: int = 1, max_qty: int = 100, approved_by: str = "") -> str:
    return (
        f"version: {version}\n"
        f"approved_by: [{approved_by}]\n"
        "units: {notional_ccy: USD}\n"
        f"defaults: {{order: {{max_qty: {{STK: {max_qty}}}}}}}\n"
    )


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address that nobody listens on and nobody else can take."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@dataclass
class Folder:
    """A folder with the files of an engine whose gateway is down."""

    path: Path
    gateway: str
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = {
            "mode": "paper",
            "state_dir": "state",
            "api": {"port": 0},
            "metrics": {"port": 0},
            "risk": {"file": "risk.yaml"},
            "sessions": [
                {
                    "name": "main",
                    "gateway": f"https://{self.gateway}",
                    "calendar": "none",
                    "tls": {"verify": "insecure_loopback"},
                    "accounts": [ACCOUNT],
                }
            ],
        }
        self.limit(risk_text())

    @property
    def file(self) -> Path:
        file = self.path / "engine.yaml"
        file.write_text(json.dumps(self.config))  # JSON is YAML.
        return file

    @property
    def risk(self) -> Path:
        return self.path / "risk.yaml"

    @property
    def journal(self) -> Path:
        return self.path / "state" / "journal.db"

    def limit(self, text: str) -> None:
        """Replace the limits as an editor does."""
        new = self.path / "risk.yaml.new"
        new.write_text(text)
        new.replace(self.risk)

    def load(self) -> EngineConfig:
        return load_engine_config(self.file, {})


@pytest.fixture
def folder(tmp_path: Path, nowhere: str) -> Folder:
    return Folder(tmp_path, nowhere)


@pytest.fixture(autouse=True)
def _labels_as_they_are_by_default() -> Iterator[None]:
    yield
    metrics.configure_account_labels({}, raw=False)


async def stopped(app: App) -> None:
    await app.stop()
    await asyncio.sleep(0)  # Cancelled tasks end.
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def get(url: str, *, ssl: bool = True) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as client, client.get(url, ssl=ssl) as answer:
        return answer.status, await answer.json()


# --- start and stop --------------------------------------------------------------------------


def test_an_engine_whose_gateway_is_down_starts_and_says_so(folder: Folder) -> None:
    async def scene() -> tuple[tuple[int, Any], tuple[int, Any]]:
        app = App(folder.load(), {})
        await app.start()
        answers = await get(f"{app.api.url}/livez"), await get(f"{app.api.url}/readyz")
        await stopped(app)
        return answers

    (alive, _), (ready, why) = asyncio.run(scene())

    assert (alive, ready) == (200, 503)
    assert "main" in json.dumps(why)
    assert (folder.path / "state").stat().st_mode & 0o777 == 0o700
    assert (folder.path / "state" / "token").stat().st_mode & 0o777 == 0o600


def test_every_start_is_recorded_with_the_limits_in_force(folder: Folder) -> None:
    async def scene(wanted: int) -> list[str]:
        app = App(folder.load(), {})
        await app.start()
        types = []
        async for event in app.bridge.events(0):
            types.append(event.type)
            if len(types) == wanted:
                break
        await stopped(app)
        return types

    first, second = asyncio.run(scene(2)), asyncio.run(scene(4))

    assert first == ["START", "LIMITS"]
    assert second == ["START", "LIMITS"] * 2


def _spoil_journal(folder: Folder) -> None:
    folder.journal.parent.mkdir(mode=0o700)
    folder.journal.write_bytes(b"not a journal of anybody" * 100)


@pytest.mark.parametrize(
    ("broken", "error", "match"),
    [
        (lambda folder: folder.limit("version: none\n"), ConfigError, r"risk\.yaml"),
        (lambda folder: folder.risk.unlink(), ConfigError, r"risk\.yaml: cannot be read"),
        (_spoil_journal, JournalError, r"journal\.db"),
    ],
    ids=["bad limits", "no limits", "bad journal"],
)
def test_a_start_that_is_refused_leaves_nothing_open(
    folder: Folder, broken: Callable[[Folder], None], error: type[Exception], match: str
) -> None:
    broken(folder)

    async def scene() -> None:
        app = App(folder.load(), {})
        with pytest.raises(error, match=match):
            await app.start()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scene())


def test_bad_limits_are_refused_before_anything_is_made(folder: Folder) -> None:
    folder.limit("version: none\n")

    async def scene() -> None:
        with pytest.raises(ConfigError):
            await App(folder.load(), {}).start()

    asyncio.run(scene())

    assert not (folder.path / "state").exists()


def test_a_taken_port_is_refused_and_everything_is_let_go(folder: Folder) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        folder.config["api"]["port"] = port

        async def scene() -> None:
            with pytest.raises(BindRefused, match=str(port)):
                await App(folder.load(), {}).start()
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(scene())

    journal = SqliteJournal.open(folder.journal)
    assert journal.epoch == 2
    asyncio.run(journal.close())


def test_a_demo_takes_the_next_free_port(folder: Folder) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        folder.config["api"]["port"] = taken.getsockname()[1]

        async def scene() -> str:
            app = App(folder.load(), {}, take_next_port=True)
            await app.start()
            url = app.api.url
            await stopped(app)
            return url

        url = asyncio.run(scene())

    assert int(url.rpartition(":")[2]) != folder.config["api"]["port"]


def test_a_journal_belongs_to_one_engine(folder: Folder) -> None:
    async def scene() -> None:
        first = App(folder.load(), {})
        await first.start()
        with pytest.raises(JournalLocked):
            await App(folder.load(), {}).start()
        await stopped(first)

    asyncio.run(scene())


def test_a_live_engine_starts_halted_until_a_person_resumes_it(folder: Folder) -> None:
    live = AccountId("U1234567")
    folder.config["mode"] = "live"
    folder.config["sessions"][0] |= {"accounts": [live], "calendar": "america"}

    async def scene() -> tuple[TradingState, bool, TradingState]:
        app = App(folder.load(), {})
        await app.start()
        await asyncio.sleep(0)
        before = app.bridge.account(live).trading_state
        resumed = await app.bridge.resume(ResumeScope(scope=FIRM, reason="looked", by="ops"))
        await asyncio.sleep(0)
        after = app.bridge.account(live).trading_state
        await stopped(app)
        return before, resumed, after

    assert asyncio.run(scene()) == (TradingState.HALT, True, TradingState.NORMAL)
    assert asyncio.run(scene())[0] is TradingState.HALT, "and again after every start"


def test_an_engine_serves_over_tls_when_it_has_a_certificate(folder: Folder) -> None:
    load_or_make_certificate(folder.path / "tls")
    folder.config["api"]["tls"] = {"cert_file": "tls/cert.pem", "key_file": "tls/key.pem"}

    async def scene() -> tuple[str, int]:
        app = App(folder.load(), {})
        await app.start()
        status, _ = await get(f"{app.api.url}/livez", ssl=False)
        url = app.api.url
        await stopped(app)
        return url, status

    url, status = asyncio.run(scene())

    assert url.startswith("https://127.0.0.1:")
    assert status == 200


def test_accounts_are_labelled_as_the_configuration_says(folder: Folder) -> None:
    folder.config["account_aliases"] = {ACCOUNT: "growth"}

    async def scene() -> str:
        app = App(folder.load(), {})
        await app.start()
        label = metrics.account_label(ACCOUNT)
        await stopped(app)
        return label

    assert asyncio.run(scene()) == "growth"


def test_draining_and_signals_end_an_engine(folder: Folder) -> None:
    ends: list[Callable[[App], None]] = [
        lambda app: app.bridge.drain(),
        lambda _app: os.kill(os.getpid(), signal.SIGTERM),
        lambda _app: os.kill(os.getpid(), signal.SIGINT),
    ]

    for end in ends:
        with capture_logs() as logs:
            asyncio.run(serve(folder.load(), {}, on_started=end))

        (line,) = [line for line in logs if line["event"] == "engine_stopped"]
        assert line["settled"] is True


# --- limits while running ----------------------------------------------------------------------


async def app_over(house: House, folder: Folder) -> App:
    """Return an app of which only the part that watches the limits is there."""
    app = App(folder.load(), {})
    app._supervisor = house.supervisor
    assembly = SimpleNamespace(
        journal=house.watched, clock=house.clock, measure=house.dispatcher.measure
    )
    app._assembly = cast("Assembly", assembly)
    app._supervisor.apply_policy(load_risk_policy(folder.risk))
    await quiet()
    return app


def loaded(house: House) -> list[LimitsLoaded]:
    messages = [one.entry.message for one in house.journal.durable]
    return [message for message in messages if isinstance(message, LimitsLoaded)]


def reloads(result: str) -> float:
    return float(metrics.RISK_RELOADS.labels(result)._value.get())


def test_limits_that_change_on_disk_are_in_force_within_a_second_or_so(folder: Folder) -> None:
    async def scene() -> None:
        house = await ready_house()
        app = await app_over(house, folder)
        before = reloads("applied")
        watching = asyncio.ensure_future(app._watch_limits(FileWatch(folder.risk)))
        await skip(3)
        unchanged = (house.bridge.limits(ACCOUNT).version, reloads("applied"))

        folder.limit(risk_text(version=2, max_qty=200, approved_by="ops"))
        with capture_logs() as logs:
            await skip(app_file.WATCH_S + 0.1)
        watching.cancel()

        assert unchanged == (1, before)
        assert house.bridge.limits(ACCOUNT).version == 2
        assert house.supervisor.risks[ACCOUNT].risk.limits.max_qty("STK").value == 200
        (record,) = loaded(house)
        assert (record.version, record.approved_by) == (2, ("ops",))
        assert [change.split(" (")[0] for change in record.changes] == [
            "defaults order.max_qty.STK loosened from 100 to 200"
        ]
        assert reloads("applied") == before + 1
        assert metrics.RISK_RELOAD_OK._value.get() == 1
        assert metrics.RISK_POLICY_VERSION._value.get() == 2
        assert [line["version"] for line in logs if line["event"] == "limits_applied"] == [2]

    run_skipping(scene())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("version: 2\nnonsense: 1\n", "nonsense"),
        (risk_text(version=1, max_qty=200), "loosens limits, which needs a version above 1"),
        (risk_text(version=2, max_qty=200), "a name in approved_by"),
        ("", "risk.yaml"),
    ],
    ids=["a wrong key", "an old version", "nobody's word", "an empty file"],
)
def test_bad_limits_keep_the_last_good_ones_and_say_why(
    folder: Folder, text: str, why: str
) -> None:
    async def scene() -> None:
        house = await ready_house()
        app = await app_over(house, folder)
        refused, applied = reloads("refused"), reloads("applied")

        folder.limit(text)
        with capture_logs() as logs:
            app._reload()
        await quiet()
        in_force = house.bridge.limits(ACCOUNT)
        ok = metrics.RISK_RELOAD_OK._value.get()
        folder.limit(risk_text())
        app._reload()
        await quiet()

        assert in_force.version == 1
        assert in_force.file_error is not None
        assert why in in_force.file_error
        assert (ok, reloads("refused")) == (0, refused + 1)
        assert [line["why"] for line in logs if line["event"] == "limits_refused"] == [
            in_force.file_error
        ]
        assert house.bridge.limits(ACCOUNT).file_error is None, "the good file is back"
        assert (metrics.RISK_RELOAD_OK._value.get(), reloads("applied")) == (1, applied + 1)

    run_skipping(scene())


def test_a_file_that_is_gone_keeps_the_last_good_limits(folder: Folder) -> None:
    async def scene() -> None:
        house = await ready_house()
        app = await app_over(house, folder)
        watching = asyncio.ensure_future(app._watch_limits(FileWatch(folder.risk)))
        await skip(0.1)

        folder.risk.unlink()
        await skip(3)
        gone = house.bridge.limits(ACCOUNT).file_error
        folder.limit(risk_text(max_qty=50))
        await skip(2)
        watching.cancel()

        assert gone is not None
        assert "cannot be read" in gone
        limits = house.bridge.limits(ACCOUNT)
        assert limits.file_error is None
        assert house.supervisor.risks[ACCOUNT].risk.limits.max_qty("STK").value == 50

    run_skipping(scene())


def test_no_account_number_is_in_what_is_logged_of_new_limits(folder: Folder) -> None:
    async def scene() -> None:
        house = await ready_house()
        app = await app_over(house, folder)

        folder.limit(
            risk_text(version=2) + f"accounts: {{{ACCOUNT}: {{order: {{max_qty: {{STK: 5}}}}}}}}\n"
        )
        with capture_logs() as logs:
            app._reload()

        (line,) = [line for line in logs if line["event"] == "limits_applied"]
        assert isinstance(line["changes"], str), "only texts are masked"
        assert f"{ACCOUNT} order.max_qty.STK tightened from 100 to 5" in line["changes"]

    run_skipping(scene())


def test_mailboxes_and_the_loops_lag_are_measured(folder: Folder) -> None:
    async def scene() -> None:
        house = await ready_house()
        app = await app_over(house, folder)
        handled = metrics.ACTOR_HANDLED.labels("RiskActor")._value.get()
        house.supervisor.halt(HALT)
        measuring = asyncio.ensure_future(app._measure())

        await skip(app_file.WATCH_S + 0.1)
        measuring.cancel()

        assert metrics.ACTOR_HANDLED.labels("RiskActor")._value.get() > handled
        assert metrics.LOOP_LAG_SECONDS._value.get() < 0.001

    run_skipping(scene())


# --- the process -------------------------------------------------------------------------------


def test_a_bad_configuration_ends_the_process_with_its_problem(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.config["mdoe"] = "paper"

    code = run(folder.file)

    captured = capsys.readouterr()
    assert code == 1
    assert captured.err.startswith("engine: engine.yaml")
    assert "mdoe" in captured.err
    assert "Traceback" not in captured.err


def test_bad_limits_end_the_process_with_their_problem(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.limit("version: none\n")

    assert run(folder.file) == 1
    assert capsys.readouterr().err.startswith("engine: risk.yaml")


def test_a_taken_port_ends_the_process_and_is_named(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        folder.config["metrics"]["port"] = port

        code = run(folder.file)

    last = capsys.readouterr().err.splitlines()[-1]
    assert code == 1
    assert last.startswith("engine: ")
    assert str(port) in last


def test_a_locked_journal_ends_the_process_and_is_named(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.journal.parent.mkdir(mode=0o700)
    other = SqliteJournal.open(folder.journal)

    code = run(folder.file)

    asyncio.run(other.close())
    last = capsys.readouterr().err.splitlines()[-1]
    assert code == 1
    assert last.startswith("engine: ")
    assert "journal.db" in last


def test_a_process_that_is_told_to_stop_ends_well(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serve_shortly(config: EngineConfig, environ: Any) -> None:
        await serve(config, environ, on_started=lambda app: app.bridge.drain())

    monkeypatch.setattr(app_file, "serve", serve_shortly)

    assert run(folder.file) == 0
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events[-1] == "engine_stopped"
