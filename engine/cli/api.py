"""How the commands reach a running engine: one small blocking HTTP client.

Rule 1: the token goes into one header and nowhere else; no message, error or address that
is printed can hold it.

Rule 2: what was asked and not answered is told from what was never asked (`was_sent`), so
that a person knows whether to look before asking again.

It is built on `http.client`, which starts in a tenth of the time that aiohttp takes: a
command is one request, and people wait for it.
"""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

TIMEOUT_S: Final = 10.0
TOKEN_CHARACTERS_MAX: Final = 4096

JsonObject = dict[str, Any]


class ApiFailure(Exception):  # noqa: N818 - says what is so: the API did not do it
    """The engine refused, failed or did not answer. The text is for people.

    `was_sent` is False only when not a byte of the request left. `answer` is None when
    none came.
    """

    def __init__(self, text: str, *, was_sent: bool, answer: "Answer | None" = None) -> None:
        super().__init__(text)
        self.was_sent = was_sent
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an engine listens, as `--api` names it."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True when nothing sent there leaves this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str) -> Address:
    """Read `http://127.0.0.1:8700`.

    Raises:
        ValueError: The text is no such address, or the token would travel in the clear.
    """
    allowed = "allowed is http://HOST:PORT on loopback, or https://HOST:PORT"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        message = f"the address cannot be read; {allowed}"
        raise ValueError(message) from None
    if "@" in parts.netloc:
        message = f"the address holds a user or a password; {allowed}"
        raise ValueError(message)
    is_bare = parts.path in {"", "/"} and not parts.query and not parts.fragment
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_bare:
        message = f"the address is {text!r}; {allowed}"
        raise ValueError(message)
    default_port = 443 if parts.scheme == "https" else 80
    address = Address(scheme=parts.scheme, host=parts.hostname, port=port or default_port)
    if address.scheme == "http" and not address.is_loopback:
        message = f"{address} would carry the token unencrypted; {allowed}"
        raise ValueError(message)
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """The bearer token, or where it was looked for in vain. Never shown."""

    value: str | None = field(repr=False)
    source: str


def find_token(
    environment: Mapping[str, str], *, token_file: Path | None, state_dir: Path
) -> Token:
    """Take the token from the named file, else `ENGINE_TOKEN`, else `<state_dir>/token`.

    Raises:
        ApiFailure: The file exists and cannot be used, or it was named and does not exist.
    """
    if token_file is None and environment.get("ENGINE_TOKEN"):
        return _checked_token(environment["ENGINE_TOKEN"], "ENGINE_TOKEN")
    file = token_file or state_dir / "token"
    try:
        text = file.read_text(encoding="ascii")
    except FileNotFoundError as error:
        if token_file is None:
            return Token(value=None, source=str(file))
        message = f"there is no token file {file}"
        raise ApiFailure(message, was_sent=False) from error
    except OSError as error:
        message = f"the token file {file} cannot be read: {error.strerror}"
        raise ApiFailure(message, was_sent=False) from error
    except UnicodeDecodeError:
        text = ""
    return _checked_token(text, str(file))


def _checked_token(text: str, source: str) -> Token:
    token = text.strip()
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        message = f"{source} holds no token: one line of visible ASCII characters is needed"
        raise ApiFailure(message, was_sent=False)
    if len(token) > TOKEN_CHARACTERS_MAX:
        message = f"{source} holds {len(token)} characters, limit is {TOKEN_CHARACTERS_MAX}"
        raise ApiFailure(message, was_sent=False)
    return Token(value=token, source=source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the engine answered: one JSON document, as it was sent."""

    status: int
    text: str

    @property
    def body(self) -> Any:
        """The document; numbers with a point stay text, so that no digit is lost.

        Raises:
            ApiFailure: It is not JSON: something else listens at that address.
        """
        try:
            return json.loads(self.text, parse_float=str)
        except ValueError as error:
            message = f"the answer (status {self.status}) is not JSON; is that an engine?"
            raise ApiFailure(message, was_sent=True, answer=self) from error

    def part(self, name: str) -> Any:
        """One part of the document.

        Raises:
            ApiFailure: There is no such part.
        """
        body = self.body
        if not isinstance(body, dict) or name not in body:
            message = f"the answer (status {self.status}) has no {name!r}; is that an engine?"
            raise ApiFailure(message, was_sent=True, answer=self)
        return body[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """An engine's HTTP API. Every request has its own connection and is sent once."""

    address: Address
    token: Token
    ca_file: Path | None = None

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Answer:
        """Ask for something. Raises `ApiFailure`, as the others do."""
        return self.request("GET", path, query=query)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: JsonObject | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """Make one request and return its 2xx answer.

        Raises:
            ApiFailure: Any other answer, or none within the time.
        """
        connection = self._connected(timeout_s)
        try:
            with self._sent(connection, method, path, query, body) as response:
                answer = Answer(status=response.status, text=response.read().decode())
        except TimeoutError as error:
            message = f"the engine at {self.address} gave no answer within {timeout_s:g} s"
            raise ApiFailure(message, was_sent=True) from error
        except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
            message = f"the engine at {self.address} broke off: {_cause(error)}"
            raise ApiFailure(message, was_sent=True) from error
        finally:
            connection.close()
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise self._refusal(answer)
        return answer

    def stream(
        self, path: str, query: Mapping[str, object] | None, *, silence_s_max: float
    ) -> Iterator[str]:
        """Yield the lines of a stream of server-sent events until it ends.

        Raises:
            ApiFailure: It was refused or broke off.
            TimeoutError: Nothing came for `silence_s_max`.
        """
        connection = self._connected(TIMEOUT_S)
        try:
            # `http.client` gives the socket to the answer, which has no way to set its time.
            reader = connection.sock
            with self._sent(connection, "GET", path, query, None) as response:
                if response.status != HTTPStatus.OK:
                    answer = Answer(status=response.status, text=response.read().decode())
                    raise self._refusal(answer)
                reader.settimeout(silence_s_max)
                while line := response.readline():
                    yield line.decode().rstrip("\r\n")
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
            message = f"the engine at {self.address} broke off: {_cause(error)}"
            raise ApiFailure(message, was_sent=True) from error
        finally:
            connection.close()

    def _connected(self, timeout_s: float) -> http.client.HTTPConnection:
        host, port = self.address.host, self.address.port
        connection: http.client.HTTPConnection
        try:
            if self.address.scheme == "https":
                connection = http.client.HTTPSConnection(
                    host, port, timeout=timeout_s, context=self._tls()
                )
            else:
                connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            cause = f"its certificate is not trusted ({error.verify_message}); see --ca-file"
            message = f"no engine can be trusted at {self.address}: {cause}"
            raise ApiFailure(message, was_sent=False) from error
        except OSError as error:
            message = f"no engine answers at {self.address}: {_cause(error)}"
            if isinstance(error, ConnectionRefusedError):
                message += "; is `engine run` running?"
            raise ApiFailure(message, was_sent=False) from error
        return connection

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            message = f"{self.ca_file} holds no certificate: {_cause(error)}"
            raise ApiFailure(message, was_sent=False) from error

    def _sent(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        body: JsonObject | None,
    ) -> http.client.HTTPResponse:
        wanted = {name: value for name, value in (query or {}).items() if value is not None}
        target = path + (f"?{urlencode(wanted)}" if wanted else "")
        headers = {"Accept": "application/json, text/event-stream"}
        if self.token.value is not None:
            headers["Authorization"] = f"Bearer {self.token.value}"
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection.request(method, target, body=content, headers=headers)
        return connection.getresponse()

    def _refusal(self, answer: Answer) -> ApiFailure:
        try:
            error = json.loads(answer.text)["error"]
            text = reason_text(error["code"], error["message"])
            details = error.get("details")
        except (ValueError, KeyError, TypeError, AttributeError):
            text = f"the engine at {self.address} answered with status {answer.status}"
            details = None
        # Of what risk refused the message has all figures.
        if details and answer.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            text += f"\ndetails: {json.dumps(details)}"
        if answer.status == HTTPStatus.UNAUTHORIZED:
            text += f"\n{self._token_hint()}"
        return ApiFailure(text, was_sent=True, answer=answer)

    def _token_hint(self) -> str:
        if self.token.value is not None:
            return f"the token came from {self.token.source}"
        return (
            f"no token was sent: there is no {self.token.source}; "
            "set ENGINE_TOKEN, --token-file or --state-dir"
        )


def reason_text(code: str, message: str) -> str:
    """Write a reason with its code in front, once: risk's messages begin with it already."""
    return message if message.startswith(f"{code}:") else f"{code}: {message}"


def in_path(text: str) -> str:
    """Quote a text so that it is one part of a path, whatever it holds."""
    return quote(text, safe="")


def api_from_options(
    *, address: Address, token_file: Path | None, state_dir: Path, ca_file: Path | None
) -> Api:
    """Make the client that a command's options ask for. Raises `ApiFailure`."""
    token = find_token(os.environ, token_file=token_file, state_dir=state_dir)
    return Api(address=address, token=token, ca_file=ca_file)


def _cause(error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case TimeoutError():
            return "timed out"
        case socket.gaierror():
            return "its name cannot be resolved"
        case http.client.RemoteDisconnected():
            return "it closed the connection without an answer"
        case OSError(strerror=str(text)) if text:
            return text[:1].lower() + text[1:]
        case _:
            return type(error).__name__
