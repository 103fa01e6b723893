"""What `engine sim` does, apart from reading its options."""

import asyncio
import errno
import json
import signal
from pathlib import Path
from typing import Final

from engine import log
from engine.cli.output import note, say
from engine.sim import Faults, FaultsFileError, SimConfig, SimGateway, load_faults, serve

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run(
    *,
    host: str,
    port: int,
    accounts: tuple[str, ...],
    seed: int,
    faults_file: Path | None,
    cert_dir: Path | None,
    logged_in: bool,
) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code."""
    log.configure()
    try:
        faults = Faults() if faults_file is None else load_faults(faults_file)
        config = SimConfig(
            host=host,
            port=port,
            accounts=accounts,
            seed=seed,
            logged_in=logged_in,
            cert_dir=cert_dir,
        )
    except (FaultsFileError, ValueError) as error:
        note(f"engine: {error}")
        return 1
    try:
        asyncio.run(_serve(config, faults))
    except OSError as error:
        note(f"engine: {_cause(error, host, port)}")
        return 1
    return 0


async def _serve(config: SimConfig, faults: Faults) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        await serve(config, stop=stop, on_started=_announce, faults=faults)
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _announce(gateway: SimGateway) -> None:
    config = gateway.config
    say(f"simulated gateway  {gateway.url}")
    say(f"CA file            {gateway.ca_file}")
    say(f"pin (SHA-256)      {gateway.pin_sha256}")
    say(f"accounts           {', '.join(config.accounts)}")
    say("\nfor engine.yaml:\n")
    say(session_entry(gateway))
    if config.cert_dir is None:
        note("the certificate lasts until this process stops; --cert-dir keeps one")


def session_entry(gateway: SimGateway) -> str:
    """Write the `sessions:` entry that connects an engine to this gateway."""
    config = gateway.config
    if config.cert_dir is None:
        tls = f"{{verify: pin, pin_sha256: {json.dumps(gateway.pin_sha256)}}}"
    else:
        ca_file = json.dumps(str(gateway.ca_file.resolve()))
        tls = f"{{verify: ca, ca_file: {ca_file}}}"
    return (
        "sessions:\n"
        "  - name: sim\n"
        f"    gateway: {gateway.url}\n"
        f"    tls: {tls}\n"
        f"    accounts: [{', '.join(json.dumps(account) for account in config.accounts)}]"
    )


def _cause(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken; choose another with --port (0 takes a free one)"
    place = error.filename or f"{host}:{port}"
    return f"the simulated gateway cannot start at {place}: {error.strerror or error}"
