"""`engine.yaml`: what an engine is told once, at its start.

Rule 1: a file is used as a whole or not at all, and every problem in it is reported, with
its line, what was found and what is allowed.

Rule 2: a field's description says what is allowed; it is the schema's and the message's.

Rule 3: paths are relative to the folder of the file that names them.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
)

from engine.config import strict_yaml
from engine.config.loading import Loading
from engine.config.orders import Orders
from engine.config.section import Account, Section
from engine.domain.values import Mode, SessionName

ENVIRONMENT_PREFIX: Final = "ENGINE__"
INTERVAL_MS_MIN: Final = 100
INTERVAL_MS_MAX: Final = 86_400_000

_UNIT_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_INTERVAL: Final = re.compile(r"([1-9][0-9]{0,7})(ms|s|m|h|d)")
_HOST_PATTERN: Final = r"^[A-Za-z0-9:._-]{1,253}$"
_NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$"

_Contradictions: TypeAlias = Iterator[tuple[strict_yaml.Path, str]]


def parse_interval(text: str) -> int | None:
    """Return the milliseconds of `100ms`, `1s`, `5m`, `1h` or `1d`; None if it is not one."""
    match = _INTERVAL.fullmatch(text)
    if match is None:
        return None
    interval_ms = int(match[1]) * _UNIT_MS[match[2]]
    return interval_ms if INTERVAL_MS_MIN <= interval_ms <= INTERVAL_MS_MAX else None


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`; a name other than `localhost` is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _resolve(path: Path, info: ValidationInfo) -> Path:
    if "\0" in str(path):
        raise ValueError
    folder: Path | None = (info.context or {}).get("folder")
    try:
        return path if folder is None else folder / path.expanduser()
    except RuntimeError as error:  # `~somebody` who has no home
        raise ValueError from error


def _gateway(text: str) -> str:
    parts = urlsplit(text)
    bare = parts.path in {"", "/"} and not (parts.query or parts.fragment or "@" in parts.netloc)
    host = re.fullmatch(_HOST_PATTERN, parts.hostname or "")
    if parts.scheme != "https" or host is None or not bare or parts.port == 0:
        raise ValueError
    return f"https://{parts.netloc}"


def _interval(text: str) -> str:
    if parse_interval(text) is None:
        raise ValueError
    return text


def _pin(text: str) -> str:
    pin = text.replace(":", "").lower()
    if re.fullmatch(r"[0-9a-f]{64}", pin) is None:
        raise ValueError
    return pin


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


FilePath: TypeAlias = Annotated[Path, Field(strict=False), AfterValidator(_resolve)]
Host: TypeAlias = Annotated[str, Field(pattern=_HOST_PATTERN)]
Port: TypeAlias = Annotated[int, Field(ge=0, le=65535)]
Interval: TypeAlias = Annotated[
    str,
    AfterValidator(_interval),
    Field(description="text of a number and ms, s, m, h or d, from 100ms to 1d"),
]
QuestionKind: TypeAlias = Annotated[
    str, Field(pattern=r"^[a-z][0-9]{1,8}$", description="a message id such as o163 or p12")
]
Conid: TypeAlias = Annotated[int, Field(gt=0, description="a contract id, a whole number > 0")]


class ApiTls(Section):
    """The certificate that the HTTP API shows."""

    cert_file: FilePath = Field(description="the path of a PEM certificate chain that exists")
    key_file: FilePath = Field(description="the path of a PEM private key that exists")


class Api(Section):
    """Where clients reach the engine."""

    host: Host = Field(default="127.0.0.1", description="an address or host name to listen on")
    port: Port = Field(default=8700, description="a port from 0 to 65535, 0 takes a free one")
    tls: ApiTls | None = Field(default=None, description="a mapping of cert_file and key_file")
    allowed_hosts: Annotated[tuple[Host, ...], BeforeValidator(_tuple)] = Field(
        default=(), description="a list of host names that clients may use besides the address"
    )


class Metrics(Section):
    """Where Prometheus reaches the engine."""

    host: Host = Field(default="127.0.0.1", description="an address or host name to listen on")
    port: Port = Field(default=9700, description="a port from 0 to 65535, 0 takes a free one")
    account_labels: Literal["alias", "raw"] = Field(
        default="alias", description="alias (an alias or a digest) or raw (the account id)"
    )


class JournalSection(Section):
    """Where the journal is."""

    url: str = Field(
        default="sqlite:///journal.db",
        pattern=r"^(sqlite:///.+|postgres(ql)?://.+)$",
        description="sqlite:/// and a path relative to state_dir, such as sqlite:///journal.db, "
        "or postgresql://user@host/database; its password may come from PGPASSWORD or a file "
        "that PGPASSFILE names",
    )
    snapshot_records: int = Field(
        default=50_000,
        ge=100,
        le=10_000_000,
        description="from 100 to 10_000_000 records between two snapshots",
    )


class Risk(Section):
    """Where the limits are."""

    file: FilePath = Field(description="the path of the limits file, often risk.yaml")


class MarketData(Section):
    """What is streamed from the start on."""

    subscriptions: Annotated[tuple[Conid, ...], BeforeValidator(_tuple)] = Field(
        default=(), description="a list of contract ids, whole numbers > 0"
    )
    bars: Annotated[tuple[Interval, ...], BeforeValidator(_tuple)] = Field(
        default=("1s", "1m"), description="a list of intervals like 1s or 5m, from 100ms to 1d"
    )

    @property
    def bar_intervals_ms(self) -> tuple[int, ...]:
        """The lengths of the bars to build, in milliseconds."""
        return tuple(parse_interval(text) or 0 for text in self.bars)


class FuturesOperator(Section):
    """Who enters orders for futures of US exchanges; the exchanges want to know."""

    ext_operator: str = Field(
        pattern=r"^[\x21-\x7e]{1,64}$", description="text of up to 64 printable characters"
    )
    manual: bool = Field(description="true for a person's orders, false for a program's")


class Log(Section):
    """How much is logged."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = Field(
        default="INFO", description="debug, info, warning or error"
    )


class Pacing(Section):
    """How fast a gateway is asked. The broker closes for ten minutes when it is too fast."""

    requests_per_s: int = Field(
        default=10, ge=1, le=50, description="a whole number from 1 to 50 requests per second"
    )
    in_flight: int = Field(
        default=4, ge=1, le=50, description="a whole number from 1 to 50 open requests"
    )
    orders_interval_ms: int = Field(
        default=5000, ge=100, le=600_000, description="from 100 to 600_000 milliseconds"
    )
    trades_interval_ms: int = Field(
        default=5000, ge=100, le=600_000, description="from 100 to 600_000 milliseconds"
    )
    penalty_ms: int = Field(
        default=900_000, ge=0, le=3_600_000, description="from 0 to 3_600_000 milliseconds"
    )
    penalty_ms_max: int = Field(
        default=3_600_000, ge=0, le=86_400_000, description="from 0 to 86_400_000 milliseconds"
    )


class SessionTls(Section):
    """How a gateway proves who it is."""

    verify: Literal["ca", "pin", "insecure_loopback"] = Field(
        description="ca (with ca_file), pin (with pin_sha256) or insecure_loopback"
    )
    ca_file: FilePath | None = Field(
        default=None, description="the path of a PEM certificate that exists, with verify: ca"
    )
    pin_sha256: Annotated[str, AfterValidator(_pin)] | None = Field(
        default=None,
        description="the SHA-256 of the gateway's certificate, 64 hexadecimal digits",
    )


class SessionConfig(Section):
    """One gateway with its brokerage login and the accounts that trade through it."""

    name: SessionName = Field(
        pattern=_NAME_PATTERN, description="up to 40 letters, digits, dots, - and _"
    )
    gateway: Annotated[str, AfterValidator(_gateway)] = Field(
        description="a URL of https, host and port, such as https://127.0.0.1:5000"
    )
    tls: SessionTls = Field(description="a mapping with verify: ca, pin or insecure_loopback")
    compete: Literal["never", "once"] = Field(
        default="never", description="never or once (take the login over from elsewhere once)"
    )
    accounts: Annotated[
        Annotated[tuple[Account, ...], Field(min_length=1)] | Literal["all"],
        BeforeValidator(_tuple),
    ] = Field(description="a list of account ids, or all (in paper mode only)")
    market_data: Literal["on", "off"] = Field(default="on", description="on or off")
    calendar: Literal["america", "europe", "asia", "none"] = Field(
        default="america",
        description="america, europe or asia (the region whose nightly reset and maintenance "
        "apply), or none (for a simulated gateway, in paper mode only)",
    )
    login_grace_s: int = Field(
        default=300, ge=10, le=86_400, description="from 10 to 86_400 seconds"
    )
    suppress_questions: Annotated[tuple[QuestionKind, ...], BeforeValidator(_tuple)] = Field(
        default=(),
        max_length=51,
        description="a list of up to 51 message ids, such as o163, that the broker asks no more",
    )

    @property
    def streams_market_data(self) -> bool:
        """True when quotes and bars come from this session."""
        return self.market_data == "on"


class EngineConfig(Section):
    """All of `engine.yaml`, checked; paths are absolute when it was loaded from a file."""

    mode: Annotated[Mode, Field(strict=False)] = Field(description="paper or live")
    state_dir: FilePath = Field(
        default=Path("state"),
        validate_default=True,
        description="the path of the folder for journal and token",
    )
    shard: str = Field(
        default="0001",
        pattern=r"^[A-Z0-9]{4}$",
        description="text of four characters A-Z or 0-9, in quotes if all are digits",
    )
    api: Api = Field(default_factory=Api, description="a mapping")
    metrics: Metrics = Field(default_factory=Metrics, description="a mapping")
    journal: JournalSection = Field(default_factory=JournalSection, description="a mapping")
    risk: Risk = Field(description="a mapping with file")
    market_data: MarketData = Field(default_factory=MarketData, description="a mapping")
    account_aliases: dict[
        Account, Annotated[str, Field(pattern=_NAME_PATTERN, description="a short name")]
    ] = Field(default_factory=dict, description="a mapping of account ids to short names")
    orders: Orders = Field(default_factory=Orders, description="a mapping")
    log: Log = Field(default_factory=Log, description="a mapping")
    pacing: Pacing = Field(default_factory=Pacing, description="a mapping")
    futures_operator: FuturesOperator | None = Field(
        default=None, description="a mapping of ext_operator and manual"
    )
    sessions: Annotated[tuple[SessionConfig, ...], BeforeValidator(_tuple)] = Field(
        min_length=1, description="a list of at least one session"
    )


def json_schema() -> dict[str, object]:
    """Return the JSON schema of `engine.yaml`, for editors and the documentation."""
    return EngineConfig.model_json_schema()


def load_engine_config(file: Path, environ: Mapping[str, str]) -> EngineConfig:
    """Read `engine.yaml` with the overrides `ENGINE__SECTION__KEY` of the environment.

    Raises `ConfigError`, or `ConfigProblems` with everything that is wrong.
    """
    folder = file.absolute().parent
    loading = Loading(EngineConfig, strict_yaml.read_file(file), {"folder": folder})
    loading.override(environ, ENVIRONMENT_PREFIX)
    return loading.finish(_contradictions)


def _contradictions(loading: Loading[EngineConfig]) -> _Contradictions:
    """Find what single values do not show, in all that is valid by itself."""
    value = loading.value
    items = value.get("sessions")
    parts = [
        (index, loading.part(SessionConfig, item))
        for index, item in enumerate(items if isinstance(items, list) else ())
    ]
    sessions = {index: session for index, session in parts if session is not None}
    yield from _check_listeners(
        loading.part(Api, value.get("api", {})), loading.part(Metrics, value.get("metrics", {}))
    )
    for index, session in sessions.items():
        yield from _check_tls(("sessions", index, "tls"), session)
    yield from _check_unique(sessions)
    yield from _check_pacing(loading.part(Pacing, value.get("pacing", {})))
    mode = value.get("mode")
    if isinstance(mode, str) and mode in set(Mode):
        yield from _check_accounts(Mode(mode), sessions)
        yield from _check_calendars(Mode(mode), sessions)
    if len(sessions) == len(parts):
        yield from _check_aliases(value.get("account_aliases"), sessions)


def _check_listeners(api: Api | None, metrics: Metrics | None) -> _Contradictions:
    if api is None:
        return
    if api.tls is None and not is_loopback(api.host):
        yield ("api", "host"), f"found {api.host!r}, needs a loopback address, or tls as well"
    if api.tls is not None:
        yield from _check_file(("api", "tls", "cert_file"), api.tls.cert_file)
        yield from _check_file(("api", "tls", "key_file"), api.tls.key_file)
    same_host = metrics is not None and _host(api.host) == _host(metrics.host)
    if metrics is not None and same_host and api.port == metrics.port != 0:
        yield ("metrics", "port"), f"found {metrics.port}, needs another port than api.port"


def _host(name: str | None) -> str | None:
    """Return one name for a host that has two: `localhost` is 127.0.0.1."""
    lower = None if name is None else name.lower()
    return "127.0.0.1" if lower == "localhost" else lower


def _check_file(path: strict_yaml.Path, file: Path) -> _Contradictions:
    if not file.is_file():
        yield path, f"found {str(file)!r}, needs the path of a PEM file that exists"


def _check_tls(path: strict_yaml.Path, session: SessionConfig) -> _Contradictions:
    tls = session.tls
    needed = {"ca": "ca_file", "pin": "pin_sha256"}.get(tls.verify)
    for key in ("ca_file", "pin_sha256"):
        given = getattr(tls, key) is not None
        if key == needed and not given:
            yield (*path, key), f"is missing, needs a value with verify: {tls.verify}"
        if key != needed and given:
            yield (*path, key), f"is not used with verify: {tls.verify}, leave it out"
    if tls.verify == "ca" and tls.ca_file is not None:
        yield from _check_file((*path, "ca_file"), tls.ca_file)
    host = urlsplit(session.gateway).hostname or ""
    if tls.verify == "insecure_loopback" and not is_loopback(host):
        message = (
            f"found insecure_loopback for the host {host}, needs ca or pin (or a loopback host)"
        )
        yield (*path, "verify"), message


def _check_unique(
    sessions: Mapping[int, SessionConfig],
) -> _Contradictions:
    names: dict[str, int] = {}
    gateways: dict[tuple[str | None, int], int] = {}
    for index, session in sessions.items():
        parts = urlsplit(session.gateway)
        first = names.setdefault(session.name, index)
        if first != index:
            message = f"found {session.name!r} again, it is the name of sessions[{first}]"
            yield ("sessions", index, "name"), message
        first = gateways.setdefault((_host(parts.hostname), parts.port or 443), index)
        if first != index:
            message = f"found {session.gateway!r} again, it is the gateway of sessions[{first}]"
            yield ("sessions", index, "gateway"), message


def _check_pacing(pacing: Pacing | None) -> _Contradictions:
    if pacing is not None and pacing.penalty_ms_max < pacing.penalty_ms:
        least = f"{pacing.penalty_ms} (pacing.penalty_ms) or more"
        yield ("pacing", "penalty_ms_max"), f"found {pacing.penalty_ms_max}, needs {least}"


def _check_calendars(mode: Mode, sessions: Mapping[int, SessionConfig]) -> _Contradictions:
    """Refuse to trade real money through the broker's nightly reset and maintenance."""
    for index, session in sessions.items():
        if mode is Mode.LIVE and session.calendar == "none":
            message = "found 'none', needs america, europe or asia in mode: live"
            yield ("sessions", index, "calendar"), message


def _check_accounts(mode: Mode, sessions: Mapping[int, SessionConfig]) -> _Contradictions:
    owners: dict[str, int] = {}
    for index, session in sessions.items():
        path = ("sessions", index, "accounts")
        if session.accounts == "all":
            if mode is Mode.LIVE:
                yield path, "found 'all', needs a list of account ids in mode: live"
            continue
        for position, account in enumerate(session.accounts):
            first = owners.setdefault(account, index)
            if first != index or session.accounts.index(account) != position:
                message = f"found {account!r} again, it is in sessions[{first}]"
                yield (*path, position), message
            if account.startswith("D") is (mode is Mode.LIVE):
                kind = "a live account (none starts with D)"
                needs = kind if mode is Mode.LIVE else "a paper account (they start with D)"
                yield (*path, position), f"found {account!r}, needs {needs} in mode: {mode}"


def _check_aliases(aliases: object, sessions: Mapping[int, SessionConfig]) -> _Contradictions:
    if not isinstance(aliases, dict):
        return
    everything = any(session.accounts == "all" for session in sessions.values())
    known = {account for session in sessions.values() for account in session.accounts}
    seen: dict[object, str] = {}
    for account, alias in aliases.items():
        if not everything and account not in known:
            yield ("account_aliases", account), "is an account of no session"
        elif isinstance(alias, str) and seen.setdefault(alias, account) != account:
            message = f"found {alias!r} again, it is the alias of {seen[alias]}"
            yield ("account_aliases", account), message
