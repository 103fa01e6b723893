"""What a client gets when its request is not done.

Rule 1: every error is `{"error": {"code", "message", "details"}}`. The code is for
programs and never changes; the message names the field, the value and what is allowed.

Rule 2: what the engine did not foresee is `INTERNAL`, without a word of the exception.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, TypeAlias, get_args

from aiohttp import web
from pydantic import BaseModel, ValidationError

from engine.api import strict_json
from engine.domain.ports import (
    AmbiguousSymbol,
    EngineDraining,
    JournalFull,
    JournalUnavailable,
    NotModifiable,
    NotResolvable,
    UnknownAccount,
    UnknownExternalOrder,
    UnknownOrder,
    UnknownSession,
)
from engine.domain.values import Instrument, Reason

Details: TypeAlias = Mapping[str, object]

_SHOWN_CHARACTERS_MAX: Final = 64
_FIELDS_NAMED_MAX: Final = 10
_CANDIDATES_NAMED_MAX: Final = 20


class ApiError(Exception):
    """The request is refused; nothing was done."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Details | None = None,
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = int(status)
        self.code = code
        self.message = message
        self.details: Details = details or {}
        self.headers = headers or {}
        self.close = close

    def body(self) -> dict[str, object]:
        """Return what stands under `error`."""
        return {"code": self.code, "message": self.message, "details": dict(self.details)}

    def response(self) -> web.Response:
        """Return the answer; with `close`, the connection ends after it."""
        response = web.Response(
            status=self.status,
            body=strict_json.write({"error": self.body()}),
            content_type="application/json",
            headers=self.headers,
        )
        if self.close:
            response.force_close()
        return response


def shown(value: object) -> str:
    """Return a value as an error names it: as JSON, and short."""
    text = strict_json.write(value).decode()
    if len(text) <= _SHOWN_CHARACTERS_MAX:
        return text
    return f"{text[:_SHOWN_CHARACTERS_MAX]}… ({len(text)} characters)"


def detail(value: object) -> object:
    """Return a value as `details` names it: as it is when that is short."""
    match value:
        case None | bool() | int():
            return value
        case str() if len(value) <= _SHOWN_CHARACTERS_MAX:
            return value
        case _:
            return shown(value).strip('"')


def bad_field(*, field: str, value: object, allowed: str, code: str = "BAD_FIELD") -> ApiError:
    """Return the refusal of one field, parameter or part of the path."""
    return ApiError(
        HTTPStatus.BAD_REQUEST,
        code,
        f"{field} is {shown(value)}; allowed: {allowed}",
        details={"field": field, "value": detail(value), "allowed": allowed},
    )


def unknown_account(account: str, known: Sequence[str]) -> ApiError:
    """Return the 404 for an account that no session of this engine has."""
    return ApiError(
        HTTPStatus.NOT_FOUND,
        "UNKNOWN_ACCOUNT",
        f"account is {shown(account)}; no session of this engine has it",
        details={"field": "account", "value": detail(account), "allowed": list(known)[:100]},
    )


def unknown_order(order_id: str) -> ApiError:
    """Return the 404 for an order that this engine never had."""
    return ApiError(
        HTTPStatus.NOT_FOUND,
        "UNKNOWN_ORDER",
        f"order_id is {shown(order_id)}; this engine has no such order",
        details={"field": "order_id", "value": detail(order_id)},
    )


def unknown_session(name: str, known: Sequence[str]) -> ApiError:
    """Return the 404 for a session that is not configured."""
    return ApiError(
        HTTPStatus.NOT_FOUND,
        "UNKNOWN_SESSION",
        f"session is {shown(name)}; this engine has no such session",
        details={"field": "name", "value": detail(name), "allowed": list(known)[:100]},
    )


def ambiguous(symbol: AmbiguousSymbol) -> ApiError:
    """Return the refusal of a symbol that means several contracts.

    A candidate whose conid is null is a step: it wants an expiry, a strike or a right.
    """
    candidates = [
        {
            "conid": instrument.conid or None,
            "symbol": instrument.symbol,
            "sec_type": instrument.sec_type,
            "exchange": instrument.exchange,
            "currency": instrument.currency,
            "name": instrument.name,
            "expiry": instrument.expiry,
            "strike": instrument.strike,
            "right": instrument.right,
        }
        for instrument in symbol.candidates
    ]
    count = max(symbol.count, len(candidates))
    named = symbol.candidates[:_CANDIDATES_NAMED_MAX]
    if all(instrument.conid for instrument in named):
        how, choices = "its conid", [_by_conid(each) for each in named]
    else:
        how, choices = "expiry, strike and right", [_particulars(each) for each in named]
    rest = f" … ({count} in all)" if count > len(choices) else ""
    return ApiError(
        HTTPStatus.BAD_REQUEST,
        "AMBIGUOUS_SYMBOL",
        f"symbol is {shown(symbol.symbol)}, which may mean several contracts; "
        f"name one by {how}: {', '.join(choices)}{rest}",
        details={
            "field": "symbol",
            "value": detail(symbol.symbol),
            "candidates": candidates,
            "count": count,
        },
    )


def _by_conid(instrument: Instrument) -> str:
    particulars = _particulars(instrument)
    return f"{instrument.conid} ({particulars})" if particulars else str(instrument.conid)


def _particulars(instrument: Instrument) -> str:
    strike = None if instrument.strike is None else strict_json.plain(instrument.strike)
    return " ".join(part for part in (instrument.expiry, strike, instrument.right) if part)


_REASON_STATUS: Final[Mapping[str, int]] = {
    "INSTRUMENT_UNKNOWN": HTTPStatus.NOT_FOUND,
    "SEC_TYPE_UNSUPPORTED": HTTPStatus.BAD_REQUEST,
    "QUERY_INVALID": HTTPStatus.BAD_REQUEST,
    "BAD_PERIOD": HTTPStatus.BAD_REQUEST,
    "TOO_MANY_CONIDS": HTTPStatus.BAD_REQUEST,
}


def from_reason(reason: Reason) -> ApiError:
    """Return the answer for a contract that could not be had.

    503 when it is not the contract's fault: the broker could not be asked.
    """
    status = _REASON_STATUS.get(reason.code, HTTPStatus.SERVICE_UNAVAILABLE)
    return ApiError(status, reason.code, reason.message)


def from_engine(error: Exception) -> ApiError | None:
    """Return the answer for one of the engine's own refusals, None for anything else."""
    match error:
        case UnknownAccount():
            return unknown_account(str(error), ())
        case UnknownOrder():
            return unknown_order(str(error))
        case UnknownSession():
            return unknown_session(str(error), ())
        case NotModifiable():
            return ApiError(HTTPStatus.CONFLICT, "NOT_MODIFIABLE", str(error))
        case NotResolvable():
            return ApiError(HTTPStatus.CONFLICT, "NOT_RESOLVABLE", str(error))
        case UnknownExternalOrder():
            return ApiError(HTTPStatus.NOT_FOUND, "UNKNOWN_EXTERNAL_ORDER", str(error))
        case EngineDraining():
            return ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "DRAINING",
                "the engine is stopping and takes no new orders; nothing was journaled",
            )
        case JournalFull():
            return ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "JOURNAL_FULL",
                "the journal's disk is full: nothing new is taken, cancels and what becomes of "
                "existing orders go on; nothing was journaled and nothing was sent",
            )
        case JournalUnavailable():
            return ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "JOURNAL_UNAVAILABLE",
                "the journal cannot be written; nothing was journaled and nothing was sent",
            )
        case _:
            return None


def from_http(error: web.HTTPException) -> ApiError:
    """Return the answer for what aiohttp itself refused: no such path, or no such method."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        methods = sorted(error.allowed_methods)
        return ApiError(
            error.status,
            "METHOD_NOT_ALLOWED",
            f"method is {shown(error.method)}; allowed here: {', '.join(methods)}",
            details={"field": "method", "value": detail(error.method), "allowed": methods},
            headers={"Allow": ", ".join(methods)},
        )
    if error.status == HTTPStatus.NOT_FOUND:
        return ApiError(
            error.status, "NOT_FOUND", "there is nothing at this path; see /openapi.json"
        )
    code = HTTPStatus(error.status).name
    return ApiError(error.status, code, f"the request was refused: {error.reason}")


def from_validation(error: ValidationError, model: type[BaseModel]) -> ApiError:
    """Return the refusal of a body or a query, naming the first field that is wrong.

    The other wrong fields are in `details.more`.
    """
    found = error.errors(include_url=False)
    refused = [_field_error(each["type"], each["loc"], each, model) for each in found]
    first = refused[0]
    if len(refused) == 1:
        return first
    more = [each.details | {"message": each.message} for each in _plain(refused[1:])]
    return ApiError(
        first.status, first.code, first.message, details={**first.details, "more": more}
    )


class _Named:
    """One more wrong field, for `details.more`."""

    def __init__(self, error: ApiError) -> None:
        self.details = dict(error.details)
        self.message = error.message


def _plain(errors: Sequence[ApiError]) -> list[_Named]:
    return [_Named(error) for error in errors[:_FIELDS_NAMED_MAX]]


def _field_error(
    kind: str, location: Sequence[int | str], error: Mapping[str, object], model: type[BaseModel]
) -> ApiError:
    context = error.get("ctx")
    given = context if isinstance(context, Mapping) else {}
    # A check over several fields names the one that is wrong, inside of what it checks.
    parts = [str(part) for part in (*location, given.get("field")) if part is not None]
    field = ".".join(parts) or "body"
    names = ", ".join(_names(_model_at(model, location[:-1])))
    match kind:
        case "missing":
            return ApiError(
                HTTPStatus.BAD_REQUEST,
                "BAD_FIELD",
                f"{field} is missing; it must be given",
                details={"field": field, "value": None, "allowed": "it must be given"},
            )
        case "extra_forbidden":
            return ApiError(
                HTTPStatus.BAD_REQUEST,
                "UNKNOWN_FIELD",
                f"{shown(field)} is not known here; allowed: {names or 'none'}",
                details={"field": field, "value": detail(error.get("input")), "allowed": names},
            )
        case "model_type" | "model_attributes_type" | "dict_type":
            return bad_field(field=field, value=error.get("input"), allowed="a JSON object")
        case _:
            value = given["value"] if "value" in given else error.get("input")
            return bad_field(
                field=field,
                value=value,
                allowed=str(given.get("allowed", error.get("msg"))),
                code=_code(kind),
            )


def _code(kind: str) -> str:
    return kind if kind.isupper() else "BAD_FIELD"


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    """Return the model of the part of a body that a location leads to."""
    for part in location:
        field = model.model_fields.get(str(part))
        model = (None if field is None else _model_in(field.annotation)) or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model that an annotation is about, as a list of it or as one or none of it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(argument) for argument in get_args(annotation))
    return next((found for found in inner if found is not None), None)


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
