"""What a check answers: passed or refused, with the exact figures it compared.

Rule: the text of a refusal is what is journaled of it. Its figures are read back from it
here, beside where it is written, so that a repeat after a restart answers the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from engine.domain.risk.limits import EXACT, Limit, format_number
from engine.domain.values import AccountId, Reason


class Check(StrEnum):
    """The checks of an order, by their number in the catalogue (`docs` name them)."""

    TRADING_STATE = "R02"
    SESSION = "R03"
    INSTRUMENT = "R05"
    PRICE = "R06"
    QUANTITY = "R07"
    ORDER_QUANTITY = "R08"
    ORDER_NOTIONAL = "R09"
    MARKET_ORDER = "R13"
    TIME_IN_FORCE = "R15"
    ORDER_TYPE = "R16"
    POSITION = "R20"
    WORKING_ORDERS = "R25"
    GROUP = "R41"


class Code(StrEnum):
    """Why an order was refused. Programs rely on these; they never change meaning."""

    TRADING_HALTED = "TRADING_HALTED"
    TRADING_REDUCE_ONLY = "TRADING_REDUCE_ONLY"
    SESSION_NOT_READY = "SESSION_NOT_READY"
    ACCOUNT_NOT_RECONCILED = "ACCOUNT_NOT_RECONCILED"
    INSTRUMENT_UNKNOWN = "INSTRUMENT_UNKNOWN"
    INSTRUMENT_NOT_TRADABLE = "INSTRUMENT_NOT_TRADABLE"
    INSTRUMENT_RESTRICTED = "INSTRUMENT_RESTRICTED"
    ORDER_TYPE_UNSUPPORTED = "ORDER_TYPE_UNSUPPORTED"
    TIF_UNSUPPORTED = "TIF_UNSUPPORTED"
    OUTSIDE_RTH_UNSUPPORTED = "OUTSIDE_RTH_UNSUPPORTED"
    CASH_QUANTITY_UNSUPPORTED = "CASH_QUANTITY_UNSUPPORTED"
    FRACTION_UNSUPPORTED = "FRACTION_UNSUPPORTED"
    PRICE_UNEXPECTED = "PRICE_UNEXPECTED"
    PRICE_NOT_POSITIVE = "PRICE_NOT_POSITIVE"
    PRICE_INVALID_TICK = "PRICE_INVALID_TICK"
    TRAILING_INVALID = "TRAILING_INVALID"
    QTY_BELOW_MIN = "QTY_BELOW_MIN"
    QTY_BELOW_FILLED = "QTY_BELOW_FILLED"
    QTY_INVALID_LOT = "QTY_INVALID_LOT"
    QTY_EXCEEDS_MAX = "QTY_EXCEEDS_MAX"
    NOTIONAL_EXCEEDS_MAX = "NOTIONAL_EXCEEDS_MAX"
    FX_RATE_MISSING = "FX_RATE_MISSING"
    NO_REFERENCE_PRICE = "NO_REFERENCE_PRICE"
    STALE_PRICE = "STALE_PRICE"
    MARKET_HALTED = "MARKET_HALTED"
    SPREAD_TOO_WIDE = "SPREAD_TOO_WIDE"
    POSITION_UNKNOWN = "POSITION_UNKNOWN"
    POSITION_LIMIT = "POSITION_LIMIT"
    MAX_OPEN_ORDERS = "MAX_OPEN_ORDERS"
    NOT_MODIFIABLE = "NOT_MODIFIABLE"
    REPLACE_PENDING = "REPLACE_PENDING"
    GROUP_INVALID = "GROUP_INVALID"


_COMPARED: Final = re.compile(
    r"account=(?P<account>\S+) (?P<field>\w+)=(?P<value>\S+) (?P<unit>\S+)"
    r" limit=(?P<allowed>\S+) (?P=unit) \((?P<limit>[^\s,()]+), (?P<source>.+?)\)"
    r"(?P<inputs>(?: \w+=\S+)*)"
)
_NEEDED: Final = re.compile(
    r"account=(?P<account>\S+)(?P<inputs>(?: \w+=\S+)*) needs (?P<allowed>.+)", re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer of one check.

    `reason` is None when the order passed. `value` and `limit` are None where the check
    compared no numbers; `utilisation` is the share of the limit that the order would use,
    1 is full.
    """

    check: Check
    reason: Reason | None = None
    value: Decimal | None = None
    limit: Limit | None = None

    @property
    def passed(self) -> bool:
        """True when the check has nothing against the order."""
        return self.reason is None

    @property
    def utilisation(self) -> Decimal | None:
        """Value over limit; None where no numbers were compared."""
        if self.value is None or self.limit is None:
            return None
        return EXACT.divide(self.value, self.limit.value)


def refuse(
    check: Check, code: Code, account: AccountId, *, needs: str, **figures: object
) -> Verdict:
    """Refuse for a reason that is no limit; `needs` says what would have been allowed."""
    return Verdict(check=check, reason=_reason(code, account, figures, f"needs {needs}"))


def compare(
    check: Check,
    code: Code,
    account: AccountId,
    *,
    field: str,
    value: Decimal,
    limit: Limit,
    **figures: object,
) -> Verdict:
    """Pass when `value` is not above `limit`; else refuse and say where it is written."""
    reason = None
    if value > limit.value:
        shown = f"{format_number(value)} {limit.unit}"
        allowed = f"limit={format_number(limit.value)} {limit.unit} ({limit.name}, {limit.source})"
        reason = _reason(code, account, {field: shown}, allowed, figures)
    return Verdict(check=check, reason=reason, value=value, limit=limit)


def figures_of(reason: Reason) -> Mapping[str, object]:
    """Return the figures of a refusal by a check; empty for a reason that no check wrote.

    `field` and `value` are what was refused, `allowed` what would not have been. Where a
    limit was compared, `limit` names it, `source` says where it is written, and both numbers
    are in `unit`. All else that the check went by is in `inputs`.
    """
    for pattern in (_COMPARED, _NEEDED):
        found = pattern.fullmatch(reason.message)
        if found is not None:
            break
    else:
        return {}
    figures: dict[str, object] = dict(found.groupdict())
    inputs = dict(each.split("=", 1) for each in found["inputs"].split())
    if pattern is _NEEDED and inputs:
        figures["field"] = next(iter(inputs))
        figures["value"] = inputs.pop(str(figures["field"]))
    return {**figures, "inputs": inputs}


def _reason(
    code: Code,
    account: AccountId,
    figures: dict[str, object],
    allowed: str,
    inputs: dict[str, object] | None = None,
) -> Reason:
    parts = [f"account={account}", *_shown(figures), allowed, *_shown(inputs or {})]
    return Reason(code=code.value, message=" ".join(parts))


def _shown(figures: dict[str, object]) -> list[str]:
    return [
        f"{name}={format_number(value) if isinstance(value, Decimal) else value}"
        for name, value in figures.items()
    ]
