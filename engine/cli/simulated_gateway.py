"""What `engine sim` does, apart from reading its options."""

import asyncio
import errno
import json
import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from engine import log
from engine.cli.output import note, say
from engine.sim import (
    Faults,
    FaultsFileError,
    Fleet,
    SimConfig,
    SimGateway,
    StateError,
    load_faults,
    serve_many,
)
from engine.sim.config import DEFAULT_ACCOUNTS

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_ACCOUNTS_A_LOGIN: Final = 2


def run(
    *,
    host: str,
    port: int,
    accounts: str | None,
    seed: int,
    faults_file: Path | None,
    cert_dir: Path | None,
    logged_in: bool,
    sessions: int = 1,
    state_file: Path | None = None,
    control_port: int | None = None,
    day_end: str | None = None,
) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code."""
    log.configure()
    try:
        if faults_file is not None:
            load_faults(faults_file)
        configs = tuple(
            SimConfig(
                host=host,
                port=port + index if port else 0,
                username="simuser" if sessions == 1 else f"simuser{index + 1}",
                accounts=own,
                seed=seed,
                logged_in=logged_in,
                cert_dir=cert_dir,
                day_ends_at_s=second_of_day(day_end),
            )
            for index, own in enumerate(shares(accounts, sessions))
        )
    except (FaultsFileError, ValueError) as error:
        note(f"engine: {error}")
        return 1
    made = Faults if faults_file is None else lambda: load_faults(faults_file)
    try:
        asyncio.run(_serve(configs, made, state_file, control_port))
    except StateError as error:
        note(f"engine: {error}")
        return 1
    except OSError as error:
        note(f"engine: {_cause(error, host, port)}")
        return 1
    return 0


def second_of_day(text: str | None) -> int | None:
    """The second of the day that `HH:MM` names; None for None.

    Raises:
        ValueError: The text is no time of the day.
    """
    if text is None:
        return None
    try:
        at = datetime.strptime(text, "%H:%M").replace(tzinfo=UTC)
    except ValueError as error:
        message = f"the day's end is {text!r}, needed is a time as 22:00"
        raise ValueError(message) from error
    return at.hour * 3600 + at.minute * 60


def shares(accounts: str | None, sessions: int) -> tuple[tuple[str, ...], ...]:
    """The accounts of each login: those that are listed, or as many as are asked for.

    Raises:
        ValueError: There are more logins than accounts.
    """
    if accounts is None and sessions == 1:
        return (DEFAULT_ACCOUNTS,)
    if accounts is None or accounts.isdecimal():
        count = _ACCOUNTS_A_LOGIN if accounts is None else int(accounts)
        return tuple(
            tuple(f"DU{(login + 1) * 1_000_000 + index + 1}" for index in range(count))
            for login in range(sessions)
        )
    listed = accounts.split(",")
    if len(listed) < sessions:
        message = f"there are {len(listed)} accounts for {sessions} logins, each needs one"
        raise ValueError(message)
    edges = [len(listed) * index // sessions for index in range(sessions + 1)]
    return tuple(tuple(listed[edges[index] : edges[index + 1]]) for index in range(sessions))


async def _serve(
    configs: Sequence[SimConfig],
    faults: Callable[[], Faults],
    state_file: Path | None,
    control_port: int | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        await serve_many(
            configs,
            stop=stop,
            on_started=_announce,
            faults=faults,
            state_file=state_file,
            control_port=control_port,
        )
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _announce(fleet: Fleet) -> None:
    for gateway in fleet.gateways:
        config = gateway.config
        say(f"simulated gateway  {gateway.url}")
        say(f"CA file            {gateway.ca_file}")
        say(f"pin (SHA-256)      {gateway.pin_sha256}")
        say(f"accounts           {', '.join(config.accounts)}")
        if len(fleet.gateways) > 1:
            say(f"login              {config.username}")
    if fleet.control_url:
        say(f"control port       {fleet.control_url}")
    say("\nfor engine.yaml:\n")
    names = ["sim"]
    if len(fleet.gateways) > 1:
        names = [f"sim{index}" for index in range(1, len(fleet.gateways) + 1)]
    say("sessions:")
    for name, gateway in zip(names, fleet.gateways, strict=True):
        say(session_entry(gateway, name))
    if fleet.gateways[0].config.cert_dir is None:
        note("the certificate lasts until this process stops; --cert-dir keeps one")


def session_entry(gateway: SimGateway, name: str) -> str:
    """Write the entry of `sessions:` that connects an engine to this gateway."""
    config = gateway.config
    if config.cert_dir is None:
        tls = f"{{verify: pin, pin_sha256: {json.dumps(gateway.pin_sha256)}}}"
    else:
        ca_file = json.dumps(str(gateway.ca_file.resolve()))
        tls = f"{{verify: ca, ca_file: {ca_file}}}"
    return (
        f"  - name: {name}\n"
        f"    gateway: {gateway.url}\n"
        "    calendar: none\n"
        f"    tls: {tls}\n"
        f"    accounts: [{', '.join(json.dumps(account) for account in config.accounts)}]"
    )


def _cause(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken; choose another with --port (0 takes a free one)"
    place = error.filename or f"{host}:{port}"
    return f"the simulated gateway cannot start at {place}: {error.strerror or error}"
