import json
from decimal import Decimal
from pathlib import Path

import pytest

from engine.config.engine import (
    Api,
    ApiTls,
    EngineConfig,
    JournalSection,
    Log,
    MarketData,
    Metrics,
    Pacing,
    Risk,
    SessionConfig,
    SessionTls,
    is_loopback,
    json_schema,
    load_engine_config,
    parse_interval,
)
from engine.config.strict_yaml import ConfigError, ConfigProblems
from engine.domain.values import (
    AccountId,
    ExternalPolicy,
    Mode,
    OrderPolicy,
    SessionName,
    UnprotectedPolicy,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "engine.yaml"

SMALL = """\
mode: paper
risk: {file: risk.yaml}
sessions:
  - name: main
    gateway: https://127.0.0.1:5000
    tls: {verify: insecure_loopback}
    accounts: [DU1111111, DU2222222]
"""


def load(folder: Path, text: str, environ: dict[str, str] | None = None) -> EngineConfig:
    file = folder / "engine.yaml"
    file.write_text(text, encoding="utf-8")
    return load_engine_config(file, environ or {})


def problems(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        load(folder, text, environ)
    return str(caught.value).splitlines()


def test_a_small_file_gets_the_defaults_and_absolute_paths(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL) == EngineConfig(
        mode=Mode.PAPER,
        state_dir=tmp_path / "state",
        shard="0001",
        api=Api(host="127.0.0.1", port=8700, tls=None, allowed_hosts=()),
        metrics=Metrics(host="127.0.0.1", port=9700, account_labels="alias"),
        journal=JournalSection(url="sqlite:///journal.db"),
        risk=Risk(file=tmp_path / "risk.yaml"),
        market_data=MarketData(subscriptions=(), bars=("1s", "1m")),
        account_aliases={},
        log=Log(level="INFO"),
        pacing=Pacing(
            requests_per_s=10,
            in_flight=4,
            orders_interval_ms=5000,
            trades_interval_ms=5000,
            penalty_ms=900_000,
        ),
        sessions=(
            SessionConfig(
                name=SessionName("main"),
                gateway="https://127.0.0.1:5000",
                tls=SessionTls(verify="insecure_loopback"),
                compete="never",
                accounts=(AccountId("DU1111111"), AccountId("DU2222222")),
                market_data="on",
            ),
        ),
    )


def test_the_example_loads_and_is_the_defaults_but_for_its_session(tmp_path: Path) -> None:
    (tmp_path / "gateway-ca.pem").write_text("a certificate", encoding="utf-8")

    config = load(tmp_path, EXAMPLE.read_text(encoding="utf-8"))

    assert config == EngineConfig(
        mode=Mode.PAPER,
        state_dir=tmp_path / "state",
        risk=Risk(file=tmp_path / "risk.yaml"),
        sessions=(
            SessionConfig(
                name=SessionName("main"),
                gateway="https://127.0.0.1:5000",
                tls=SessionTls(verify="ca", ca_file=tmp_path / "gateway-ca.pem"),
                accounts="all",
            ),
        ),
    )


def test_the_example_shows_every_key_there_is() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")

    def keys(schema: object) -> set[str]:
        if isinstance(schema, list):
            return set().union(*(keys(item) for item in schema))
        if not isinstance(schema, dict):
            return set()
        own = set(schema.get("properties", {}))
        return own.union(*(keys(item) for item in schema.values()))

    assert {key for key in keys(json_schema()) if f"{key}:" not in text} == {"pin_sha256"}
    assert "pin_sha256" in text


def test_every_key_can_be_given(tmp_path: Path) -> None:
    for name in ("api.crt", "api.key"):
        (tmp_path / name).write_text("pem", encoding="utf-8")
    pin = "AB:" * 31 + "cd"
    text = f"""\
mode: live
state_dir: /var/lib/engine
shard: EU01
api: {{host: 0.0.0.0, port: 0, tls: {{cert_file: api.crt, key_file: api.key}}, allowed_hosts: [e]}}
metrics: {{host: 0.0.0.0, port: 0, account_labels: raw}}
journal: {{url: "sqlite:///orders/journal.db"}}
risk: {{file: limits/risk.yaml}}
market_data: {{subscriptions: [265598, 8314], bars: [100ms, 5m, 1h, 1d]}}
account_aliases: {{U1234567: family}}
log: {{level: debug}}
pacing: {{requests_per_s: 5, in_flight: 2, orders_interval_ms: 6_000, penalty_ms: 0}}
sessions:
  - name: one
    gateway: https://gateway-1.example:5000/
    tls: {{verify: pin, pin_sha256: "{pin}"}}
    compete: once
    accounts: [U1234567]
    market_data: off
    suppress_questions: [o163, p12]
"""

    config = load(tmp_path, text)

    assert config == EngineConfig(
        mode=Mode.LIVE,
        state_dir=Path("/var/lib/engine"),
        shard="EU01",
        api=Api(
            host="0.0.0.0",
            port=0,
            tls=ApiTls(cert_file=tmp_path / "api.crt", key_file=tmp_path / "api.key"),
            allowed_hosts=("e",),
        ),
        metrics=Metrics(host="0.0.0.0", port=0, account_labels="raw"),
        journal=JournalSection(url="sqlite:///orders/journal.db"),
        risk=Risk(file=tmp_path / "limits" / "risk.yaml"),
        market_data=MarketData(subscriptions=(265598, 8314), bars=("100ms", "5m", "1h", "1d")),
        account_aliases={AccountId("U1234567"): "family"},
        log=Log(level="DEBUG"),
        pacing=Pacing(requests_per_s=5, in_flight=2, orders_interval_ms=6000, penalty_ms=0),
        sessions=(
            SessionConfig(
                name=SessionName("one"),
                gateway="https://gateway-1.example:5000",
                tls=SessionTls(verify="pin", pin_sha256="ab" * 31 + "cd"),
                compete="once",
                accounts=(AccountId("U1234567"),),
                market_data="off",
                suppress_questions=("o163", "p12"),
            ),
        ),
    )
    assert config.market_data.bar_intervals_ms == (100, 300_000, 3_600_000, 86_400_000)
    assert config.sessions[0].streams_market_data is False


def test_all_problems_of_a_file_are_told_with_their_places(tmp_path: Path) -> None:
    text = """\
mode: demo
shard: 12345
api:
  port: 70000
  prot: 1
  host: 0.0.0.0
metrics: {port: 9700.5, account_labels: on}
market_data: {subscriptions: [265598, -1, x], bars: [50ms, 1s, 90]}
pacing: 10
log: {level: loud}
sessions:
  - name: main
    gateway: http://127.0.0.1:5000
    tls: {verify: insecure_loopback}
    accounts: [du1, DU1234567]
    market_data: true
  - gateway: https://127.0.0.1:5001
    tls: {verify: ca}
    accounts: everyone
"""

    assert problems(tmp_path, text) == [
        "engine.yaml:1:1: mode: found 'demo', needs paper or live",
        "engine.yaml:1:1: risk: is missing, needs a mapping of file",
        (
            "engine.yaml:2:1: shard: found 12345, needs text of four characters A-Z or 0-9, "
            "in quotes if all are digits"
        ),
        "engine.yaml:4:3: api.port: found 70000, needs a port from 0 to 65535, 0 takes a free one",
        (
            "engine.yaml:5:3: api.prot: is not a known key: did you mean port? allowed here: host, "
            "port, tls, allowed_hosts"
        ),
        (
            "engine.yaml:7:11: metrics.port: found 9700.5, needs a port from 0 to 65535, 0 takes a "
            "free one"
        ),
        (
            "engine.yaml:7:25: metrics.account_labels: found 'on', needs alias (an alias or "
            "a digest) or raw (the account id)"
        ),
        (
            "engine.yaml:8:39: market_data.subscriptions[1]: found -1, needs a contract id, "
            "a whole number > 0"
        ),
        (
            "engine.yaml:8:43: market_data.subscriptions[2]: found 'x', needs a contract id, "
            "a whole number > 0"
        ),
        (
            "engine.yaml:8:54: market_data.bars[0]: found '50ms', needs text of a number and ms, "
            "s, m, h or d, from 100ms to 1d"
        ),
        (
            "engine.yaml:8:64: market_data.bars[2]: found 90, needs text of a number and ms, s, "
            "m, h or d, from 100ms to 1d"
        ),
        (
            "engine.yaml:9:1: pacing: found 10, needs a mapping of requests_per_s, in_flight, "
            "orders_interval_ms, trades_interval_ms, penalty_ms, penalty_ms_max"
        ),
        "engine.yaml:10:7: log.level: found 'loud', needs debug, info, warning or error",
        (
            "engine.yaml:13:5: sessions[0].gateway: found 'http://127.0.0.1:5000', needs a URL of "
            "https, host and port, such as https://127.0.0.1:5000"
        ),
        (
            "engine.yaml:15:16: sessions[0].accounts[0]: found 'du1', needs an account id "
            "in capitals, such as DU1234567 or U1234567"
        ),
        "engine.yaml:16:5: sessions[0].market_data: found true, needs on or off",
        (
            "engine.yaml:17:5: sessions[1].name: is missing, needs up to 40 letters, digits, "
            "dots, - and _"
        ),
        (
            "engine.yaml:19:5: sessions[1].accounts: found 'everyone', needs a list of "
            "account ids, or all (in paper mode only)"
        ),
    ]


def session(**changes: str) -> str:
    fields = {
        "name": "main",
        "gateway": "https://127.0.0.1:5000",
        "tls": "{verify: insecure_loopback}",
        "accounts": "[DU1111111]",
    } | changes
    return "".join(
        f"  {'-' if position == 0 else ' '} {key}: {value}\n"
        for position, (key, value) in enumerate(fields.items())
    )


def sessions(*items: str, mode: str = "paper", more: str = "") -> str:
    return f"mode: {mode}\nrisk: {{file: risk.yaml}}\n{more}sessions:\n" + "".join(items)


SECOND = {"name": "second", "gateway": "https://127.0.0.1:5001", "accounts": "[DU2222222]"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            sessions(session(), session(**SECOND | {"name": "main"})),
            "8:5: sessions[1].name: found 'main' again, it is the name of sessions[0]",
        ),
        (
            sessions(session(), session(**SECOND | {"gateway": "https://127.0.0.1:5000/"})),
            (
                "9:5: sessions[1].gateway: found 'https://127.0.0.1:5000' again, it is the "
                "gateway of sessions[0]"
            ),
        ),
        (
            sessions(session(), session(**SECOND | {"gateway": "https://LOCALHOST:5000"})),
            (
                "9:5: sessions[1].gateway: found 'https://LOCALHOST:5000' again, it is the "
                "gateway of sessions[0]"
            ),
        ),
        (
            sessions(session(accounts="[U1234567]", calendar="none"), mode="live"),
            (
                "8:5: sessions[0].calendar: found 'none', needs america, europe or asia "
                "in mode: live"
            ),
        ),
        (
            sessions(session(), more="pacing: {penalty_ms: 5000, penalty_ms_max: 4999}\n"),
            ("3:28: pacing.penalty_ms_max: found 4999, needs 5000 (pacing.penalty_ms) or more"),
        ),
        (
            sessions(session(), session(**SECOND | {"accounts": "[DU2222222, DU1111111]"})),
            "11:27: sessions[1].accounts[1]: found 'DU1111111' again, it is in sessions[0]",
        ),
        (
            sessions(session(accounts="[DU1111111, DU1111111]")),
            "7:27: sessions[0].accounts[1]: found 'DU1111111' again, it is in sessions[0]",
        ),
        (
            sessions(session(accounts="[]")),
            (
                "7:5: sessions[0].accounts: found an empty list, needs a list of account ids, "
                "or all (in paper mode only)"
            ),
        ),
        (
            sessions(session(accounts="all"), mode="live"),
            "7:5: sessions[0].accounts: found 'all', needs a list of account ids in mode: live",
        ),
        (
            sessions(session(accounts="[U1234567, DU1234567]"), mode="live"),
            (
                "7:26: sessions[0].accounts[1]: found 'DU1234567', needs a live account "
                "(none starts with D) in mode: live"
            ),
        ),
        (
            sessions(session(accounts="[U1234567]")),
            (
                "7:16: sessions[0].accounts[0]: found 'U1234567', needs a paper account "
                "(they start with D) in mode: paper"
            ),
        ),
        (
            sessions(session(), more="api: {host: 0.0.0.0}\n"),
            "3:7: api.host: found '0.0.0.0', needs a loopback address, or tls as well",
        ),
        (
            sessions(session(), more="metrics: {port: 8700}\n"),
            "3:11: metrics.port: found 8700, needs another port than api.port",
        ),
        (
            sessions(session(), more="metrics: {host: localhost, port: 8700}\n"),
            "3:28: metrics.port: found 8700, needs another port than api.port",
        ),
        (
            sessions(session(gateway="https://gateway:5000")),
            (
                "6:11: sessions[0].tls.verify: found insecure_loopback for the host gateway, "
                "needs ca or pin (or a loopback host)"
            ),
        ),
        (
            sessions(session(tls="{verify: pin}")),
            "6:5: sessions[0].tls.pin_sha256: is missing, needs a value with verify: pin",
        ),
        (
            sessions(session(tls="{verify: pin, pin_sha256: abc}")),
            (
                "6:24: sessions[0].tls.pin_sha256: found 'abc', needs the SHA-256 of the gateway's "
                "certificate, 64 hexadecimal digits"
            ),
        ),
        (
            sessions(session(tls="{verify: ca}")),
            "6:5: sessions[0].tls.ca_file: is missing, needs a value with verify: ca",
        ),
        (
            sessions(session(tls="{verify: ca, ca_file: /nowhere/ca.pem}")),
            (
                "6:23: sessions[0].tls.ca_file: found '/nowhere/ca.pem', needs the path of a "
                "PEM file that exists"
            ),
        ),
        (
            sessions(session(tls="{verify: insecure_loopback, ca_file: ca.pem}")),
            (
                "6:38: sessions[0].tls.ca_file: is not used with verify: insecure_loopback, "
                "leave it out"
            ),
        ),
        (
            sessions(session(), more="journal: {url: 'mysql://host/db'}\n"),
            (
                "3:11: journal.url: found 'mysql://host/db', needs sqlite:/// and a "
                "path relative to state_dir, such as sqlite:///journal.db, or "
                "postgresql://user@host/database; its password may come from PGPASSWORD or a "
                "file that PGPASSFILE names"
            ),
        ),
        (
            sessions(session(), more="account_aliases: {DU9999999: desk}\n"),
            "3:19: account_aliases.DU9999999: is an account of no session",
        ),
        (
            sessions(session(), more="account_aliases: {desk: desk}\n"),
            (
                "3:19: account_aliases.desk: found the key 'desk', needs a mapping of account "
                "ids to short names"
            ),
        ),
        (
            sessions(
                session(accounts="all"), more="account_aliases: {DU1111111: a, DU2222222: a}\n"
            ),
            "3:33: account_aliases.DU2222222: found 'a' again, it is the alias of DU1111111",
        ),
        (
            sessions(session(suppress_questions="[o163, O 1]")),
            (
                "8:32: sessions[0].suppress_questions[1]: found 'O 1', needs a message id such "
                "as o163 or p12"
            ),
        ),
        (
            sessions(session(), more='state_dir: "a\\0b"\n'),
            "3:1: state_dir: found 'a\\x00b', needs the path of the folder for journal and token",
        ),
        (
            "mode: paper\nrisk: {file: risk.yaml}\nsessions: []\n",
            "3:1: sessions: found an empty list, needs a list of at least one session",
        ),
    ],
)
def test_a_contradiction_is_refused_where_it_stands(
    tmp_path: Path, text: str, problem: str
) -> None:
    assert problems(tmp_path, text) == [f"engine.yaml:{problem}"]


def test_contradictions_are_found_beside_other_problems(tmp_path: Path) -> None:
    text = sessions(session(), session(), more="log: {level: loud}\n")

    assert [line.split(": ")[1] for line in problems(tmp_path, text)] == [
        "log.level",
        "sessions[1].name",
        "sessions[1].gateway",
        "sessions[1].accounts[0]",
    ]


@pytest.mark.parametrize(
    "gateway",
    [
        "https://",
        "127.0.0.1:5000",
        "https://127.0.0.1:5000/v1/api",
        "https://127.0.0.1:99999",
        "https://user:word@127.0.0.1:5000",
        "https://127.0.0.1:5000?x=1",
        "https://two words:5000",
        "https://[::1",
    ],
)
def test_a_gateway_is_https_with_host_and_port_only(tmp_path: Path, gateway: str) -> None:
    assert problems(tmp_path, sessions(session(gateway=f"'{gateway}'"))) == [
        (
            f"engine.yaml:5:5: sessions[0].gateway: found '{gateway}', needs a URL of https, "
            "host and port, such as https://127.0.0.1:5000"
        )
    ]


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "- a\n")

    assert str(caught.value) == (
        "engine.yaml:1:1: found a list, needs a mapping of mode, state_dir, shard, api, metrics, "
        "journal, risk, market_data, account_aliases, orders, log, pacing, "
        "futures_operator, sessions"
    )


def test_an_empty_file_misses_what_has_no_default(tmp_path: Path) -> None:
    assert [line.split(": ", 1)[1] for line in problems(tmp_path, "")] == [
        "mode: is missing, needs paper or live",
        "risk: is missing, needs a mapping of file",
        "sessions: is missing, needs a list of at least one session",
    ]


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        SMALL,
        {
            "ENGINE__API__PORT": "0",
            "ENGINE__STATE_DIR": "elsewhere",
            "ENGINE__SHARD": "'0002'",
            "ENGINE__PACING__PENALTY_MS": "1_000",
            "ENGINE__SESSIONS__0__GATEWAY": "https://localhost:5001",
            "ENGINE__MARKET_DATA__SUBSCRIPTIONS": "[265598]",
            "ENGINE__ACCOUNT_ALIASES__DU1111111": "desk-1",
            "ENGINE_TOKEN": "is not ours",
            "PATH": "/bin",
        },
    )

    plain = load(tmp_path, SMALL)
    assert config == plain.model_copy(
        update={
            "api": Api(port=0),
            "state_dir": tmp_path / "elsewhere",
            "shard": "0002",
            "pacing": Pacing(penalty_ms=1000),
            "sessions": (
                plain.sessions[0].model_copy(update={"gateway": "https://localhost:5001"}),
            ),
            "market_data": MarketData(subscriptions=(265598,)),
            "account_aliases": {"DU1111111": "desk-1"},
        }
    )


def test_a_wrong_override_is_told_by_the_name_of_its_variable(tmp_path: Path) -> None:
    environ = {
        "ENGINE__API__PORT": "many",
        "ENGINE__API__PROT": "1",
        "ENGINE__LOG__LEVEL__DEEPER": "1",
        "ENGINE__SESSIONS__7__NAME": "x",
        "ENGINE__SESSIONS__0__NAME": "&a x",
        "ENGINE__": "x",
    }

    assert sorted(problems(tmp_path, SMALL, environ)) == [
        (
            "environment ENGINE__: overrides nothing: allowed here: mode, state_dir, shard, api, "
            "metrics, journal, risk, market_data, account_aliases, orders, log, pacing, "
            "futures_operator, sessions"
        ),
        (
            "environment ENGINE__API__PORT: api.port: found 'many', needs a port from 0 to "
            "65535, 0 takes a free one"
        ),
        (
            "environment ENGINE__API__PROT: overrides nothing: did you mean port? allowed "
            "here: host, port, tls, allowed_hosts"
        ),
        "environment ENGINE__LOG__LEVEL__DEEPER: overrides nothing: log.level has no such key",
        "environment ENGINE__SESSIONS__0__NAME:1:1: found the anchor &a, anchors are not supported",
        "environment ENGINE__SESSIONS__7__NAME: overrides nothing: sessions has no such key",
    ]


def test_a_loaded_file_does_not_change() -> None:
    api = Api()

    with pytest.raises(ValueError, match="frozen"):
        api.port = 1


@pytest.mark.parametrize(
    ("text", "interval_ms"),
    [
        ("100ms", 100),
        ("1s", 1000),
        ("5m", 300_000),
        ("24h", 86_400_000),
        ("1d", 86_400_000),
        *(
            (text, None)
            for text in ("99ms", "2d", "0s", "1", "1 s", "-1s", "1S", "1.5s", "", "\u0661s")
        ),
    ],
)
def test_an_interval_is_a_number_and_a_unit_within_bounds(
    text: str, interval_ms: int | None
) -> None:
    assert parse_interval(text) == interval_ms


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, answer: bool) -> None:  # noqa: FBT001 - a table
    assert is_loopback(host) is answer


def test_the_schema_describes_every_field_and_is_plain_json() -> None:
    schema = json_schema()

    definitions = schema["$defs"]
    assert isinstance(definitions, dict)
    fields = [
        field
        for section in (schema, *definitions.values())
        for field in section.get("properties", {}).values()
    ]
    assert len(fields) > 30
    assert all("description" in field for field in fields)
    assert json.loads(json.dumps(schema)) == schema


def test_a_fraction_is_never_rounded_into_a_whole_number(tmp_path: Path) -> None:
    found = problems(tmp_path, SMALL + "pacing: {in_flight: 4.0}\n")

    assert found == [
        (
            "engine.yaml:8:10: pacing.in_flight: found 4.0, needs a whole number from 1 to 50 open "
            "requests"
        )
    ]
    assert Decimal("4.0") == 4


def test_an_account_has_its_own_choices_whole_or_those_of_all(tmp_path: Path) -> None:
    orders = "orders: {external: adopt, accounts: {DU1111111: {unprotected: cancel_entry}}}\n"

    found = load(tmp_path, sessions(session(), more=orders)).orders

    assert found.policy_of(AccountId("DU2222222")) == OrderPolicy(external=ExternalPolicy.ADOPT)
    assert found.policy_of(AccountId("DU1111111")) == OrderPolicy(
        unprotected=UnprotectedPolicy.CANCEL_ENTRY
    )
