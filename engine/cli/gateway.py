"""`engine gateway`: what to know about a gateway before it is trusted with orders."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

import typer

from engine.cli.output import fail, note, say

commands = typer.Typer(no_args_is_help=True, help="Pin a gateway's certificate.")


@commands.command("pin")
def pin(
    *,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The gateway, such as https://127.0.0.1:5000.")
    ],
) -> None:
    """Print the pin of the certificate that a gateway shows, ready for engine.yaml.

    Run it on the gateway's own machine: over a network, whoever sits in between shows a
    certificate, too.
    """
    # Only the commands that need them pay for loading TLS and the gateway.
    from engine.gateway.certificate import read_certificate  # noqa: PLC0415 - see above
    from engine.gateway.tls import is_loopback  # noqa: PLC0415 - see above

    try:
        shown = read_certificate(url)
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        fail(f"no certificate from {url}: {error}")
    say(f"subject      {shown.subject}")
    say(f"names        {', '.join(shown.names) or 'none'}")
    say(f"valid        {shown.not_before:%Y-%m-%d} to {shown.not_after:%Y-%m-%d}")
    say(f"pin SHA-256  {shown.sha256}")
    say("\nfor engine.yaml, in the session of this gateway:\n")
    say(f"    gateway: {url.rstrip('/')}")
    say(f"    tls: {{verify: pin, pin_sha256: {shown.sha256}}}")
    if datetime.now(UTC) > shown.not_after:
        note("the certificate has expired; a pin still tells this gateway from any other")
    host = urlsplit(url).hostname or ""
    if not is_loopback(host):
        note(f"{host} is not this machine: compare the pin with the one seen there")
