"""`risk.yaml`: the limits of every account, re-read when the file changes.

Rule 1: a file is used as a whole or not at all. What is wrong is said with its line, what
was found and what is allowed.

Rule 2: a file that loosens anything replaces an older one only with a higher `version` and
a name in `approved_by`. Tightening needs neither.

Rule 3: what the values mean, and how levels are merged, is in `engine.domain.risk`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from engine.config import strict_yaml
from engine.config.loading import Loading
from engine.config.strict_yaml import Document
from engine.domain.risk import Change, Level, Override, RiskPolicy, Setting
from engine.domain.risk.limits import (
    CURRENCY_UNIT,
    NOTIONAL_CURRENCY,
    RANGES,
    SEC_TYPES,
    LimitValue,
)
from engine.domain.risk.policy import policy_changes, reload_refusal
from engine.domain.values import AccountId, Answer, TradingState

_KEYS_OF_LEVELS: Final = frozenset({"groups", "override", "override_reason", "approved_by"})
"""What a level may say besides limits."""

_GROUPED_DIGITS: Final = r"^[0-9]{1,3}(_[0-9]{3})+(\.[0-9]+)?$"
"""`100_000` is a number here, and a text to editors that know a newer YAML only."""

_NULL: Final = {"type": "null"}

_SEC_TYPES_TEXT: Final = f"one of {', '.join(sorted(SEC_TYPES))} (an ETF is a STK)"


def _number(value: object) -> object:
    return Decimal(value) if type(value) is int else value  # not `isinstance`: a bool is an int


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _set(value: object) -> object:
    texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return frozenset(value) if isinstance(value, list) and texts else value


def _range(name: str) -> tuple[Decimal, bool, str]:
    allowed = RANGES[name]
    unit = "of units.notional_ccy" if allowed.unit == CURRENCY_UNIT else allowed.unit
    whole = "a whole number" if allowed.whole else "a number"
    return allowed.maximum, allowed.whole, f"{whole} above 0 and at most {allowed.maximum:f} {unit}"


def _limit(name: str) -> Any:
    """Describe the optional number `name`, with what `RANGES` allows."""
    maximum, whole, text = _range(name)
    return Field(default=None, gt=0, le=maximum, multiple_of=1 if whole else None, description=text)


def _matching(pattern: str) -> AfterValidator:
    """Accept a text that matches as a whole.

    Not a `Field(pattern=...)`: that hides what a mapping holds from the words for errors.
    """

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError
        return text

    return AfterValidator(check)


Number: TypeAlias = Annotated[Decimal, BeforeValidator(_number)]
Quantity: TypeAlias = Annotated[
    Number,
    Field(gt=0, le=RANGES["order.max_qty"].maximum, description=_range("order.max_qty")[2]),
]
SecType: TypeAlias = Annotated[
    str,
    _matching("|".join(SEC_TYPES)),
    WithJsonSchema({"type": "string", "enum": sorted(SEC_TYPES), "description": _SEC_TYPES_TEXT}),
]
AnswerWord: TypeAlias = Annotated[
    Answer, Field(strict=False, description=f"one of {', '.join(Answer)}")
]
MessageKey: TypeAlias = Annotated[str, _matching("default|[a-z]{1,4}[0-9]{1,8}")]
GroupKey: TypeAlias = Annotated[str, _matching("[A-Za-z0-9][A-Za-z0-9_-]{0,39}")]
AccountKey: TypeAlias = Annotated[str, _matching("[A-Z]{1,3}[0-9]{3,10}")]
Text: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=200, pattern=r"\S", description="a text of 1 to 200 characters"),
]
Names: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(_tuple)]


class Section(BaseModel):
    """Part of the file: no unknown key, nothing converted, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Units(Section):
    """What the numbers are in."""

    notional_ccy: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = Field(
        default=None, description="a currency of three capital letters, such as USD"
    )


class Price(Section):
    """When a price may be relied on."""

    max_age_ms: Number | None = _limit("price.max_age_ms")


class OrderNotional(Section):
    """The most that one order may cost."""

    abs: Number | None = _limit("order.max_notional.abs")


class Market(Section):
    """What a market order needs of the market."""

    max_spread_bps: Number | None = _limit("order.market.max_spread_bps")


class Order(Section):
    """Limits of one order."""

    max_qty: dict[SecType, Quantity] = Field(
        default_factory=dict,
        description=f"a mapping of security types to units; a type is {_SEC_TYPES_TEXT}",
    )
    max_notional: OrderNotional | None = None
    market: Market | None = None


class PositionNotional(Section):
    """The most that a position may be worth in the worst case."""

    abs: Number | None = _limit("position.max_notional.abs")


class Position(Section):
    """Limits of the position in one contract, every order that may fill included."""

    max_qty: Number | None = _limit("position.max_qty")
    max_notional: PositionNotional | None = None


class Working(Section):
    """How many orders may work at a time."""

    max_total: Number | None = _limit("working.max_total")
    max_per_conid_side: Number | None = _limit("working.max_per_conid_side")


class Instruments(Section):
    """What may be traded."""

    allow_sec_types: Annotated[frozenset[SecType], BeforeValidator(_set)] = Field(
        default=frozenset(), description="a list of security types"
    )


class Defaults(Section):
    """Limits of every account, unless its groups or the account itself are tighter."""

    trading_state: TradingState | None = Field(
        default=None,
        strict=False,
        description=f"one of {', '.join(TradingState)}",
    )
    price: Price | None = None
    order: Order | None = None
    position: Position | None = None
    working: Working | None = None
    instruments: Instruments | None = None
    broker_messages: dict[MessageKey, AnswerWord] = Field(
        default_factory=dict,
        description="a mapping of the broker's message ids, such as o354, or default, to answers",
    )


class Group(Defaults):
    """Limits of the accounts that name this group; tighter than the defaults."""

    override: bool = Field(default=False, description="true or false")
    override_reason: Text | None = Field(default=None, description="a text of 1 to 200 characters")
    approved_by: Names = Field(default=(), description="a list of names")


class Account(Group):
    """Limits of one account; tighter than the defaults and its groups."""

    groups: Annotated[tuple[GroupKey, ...], BeforeValidator(_tuple)] = Field(
        default=(), description="a list of names of groups"
    )


class RiskFile(Section):
    """The limits of every account: defaults, tightened by groups, tightened by accounts."""

    version: int = Field(ge=1, le=10**9, description="a whole number from 1 up")
    approved_by: Names = Field(default=(), description="a list of names")
    units: Units | None = None
    defaults: Defaults | None = None
    groups: dict[GroupKey, Group] = Field(
        default_factory=dict,
        description="a mapping of group names (letters, digits, - and _) to limits",
    )
    accounts: dict[AccountKey, Account] = Field(
        default_factory=dict,
        description="a mapping of account ids, such as DU1234567, to limits",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """A policy that may replace the older one, and what it changes."""

    policy: RiskPolicy
    changes: tuple[Change, ...]


def risk_json_schema() -> dict[str, object]:
    """Return the JSON schema of `risk.yaml`, for editors and the documentation."""
    schema: dict[str, object] = _plain_schema(RiskFile.model_json_schema())
    return schema


def load_risk_policy(file: Path) -> RiskPolicy:
    """Read a risk file. Raises `ConfigError`, or `ConfigProblems` with all that is wrong."""
    return _policy(strict_yaml.read_file(file))


def reload_risk_policy(file: Path, current: RiskPolicy) -> Reload:
    """Read a risk file that is to replace `current`.

    Raises `ConfigError` when it is wrong, and when it loosens limits without a higher
    version and a name in `approved_by`; then `current` stays in force.
    """
    document = strict_yaml.read_file(file)
    policy = _policy(document)
    changes = policy_changes(current, policy)
    refusal = reload_refusal(current, policy, changes)
    if refusal is not None:
        raise document.error(refusal, ("version",))
    return Reload(policy=policy, changes=changes)


def _policy(document: Document) -> RiskPolicy:
    loading = Loading(RiskFile, document, {})
    return _build(document, loading.finish(partial(_contradictions, document)))


def _build(document: Document, file: RiskFile) -> RiskPolicy:
    defaults = _settings(document, ("defaults",), file.defaults)
    if file.units is not None and file.units.notional_ccy is not None:
        source = str(document.mark(("units", "notional_ccy")))
        defaults[NOTIONAL_CURRENCY] = Setting(value=file.units.notional_ccy, source=source)
    return RiskPolicy(
        version=file.version,
        approved_by=file.approved_by,
        defaults=defaults,
        groups={
            name: Level(
                settings=_settings(document, ("groups", name), group), override=_override(group)
            )
            for name, group in file.groups.items()
        },
        accounts={
            AccountId(name): Level(
                settings=_settings(document, ("accounts", name), account),
                override=_override(account),
                groups=tuple(dict.fromkeys(account.groups)),
            )
            for name, account in file.accounts.items()
        },
    )


def _settings(
    document: Document, path: tuple[str, ...], section: Defaults | None
) -> dict[str, Setting]:
    """Write a section's limits as names with dots, each with the line that it is on."""
    if section is None:
        return {}
    said = section.model_dump(exclude_unset=True, exclude=set(_KEYS_OF_LEVELS))
    return {
        ".".join(name): Setting(value=value, source=str(document.mark((*path, *name))))
        for name, value in _leaves((), said)
    }


def _leaves(
    path: tuple[str, ...], values: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], LimitValue]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves((*path, key), value)
        else:
            yield (*path, key), value


def _override(group: Group) -> Override | None:
    if not group.override or group.override_reason is None:
        return None
    return Override(reason=group.override_reason, approved_by=group.approved_by)


def _contradictions(
    document: Document, loading: Loading[RiskFile]
) -> Iterator[tuple[strict_yaml.Path, str]]:
    """Find what single values do not show."""
    yield from _find_nothing((), loading.value)
    file = loading.part(RiskFile, loading.value)
    if file is None:
        return
    levels = [(("groups", name), group) for name, group in file.groups.items()]
    levels += [(("accounts", name), account) for name, account in file.accounts.items()]
    for path, level in levels:
        yield from _check_override(path, level)
    for problem in _build(document, file).problems():
        yield problem.path, problem.message


def _find_nothing(path: strict_yaml.Path, value: object) -> Iterator[tuple[strict_yaml.Path, str]]:
    if value is None:
        yield path, "found nothing, needs a value, or leave the key out"
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _find_nothing((*path, key), inner)


def _check_override(path: tuple[str, ...], level: Group) -> Iterator[tuple[strict_yaml.Path, str]]:
    if level.override and level.override_reason is None:
        yield (*path, "override"), "found true, needs override_reason as well"
    if level.override and not level.approved_by:
        yield (*path, "override"), "found true, needs a name in approved_by as well"
    for key in ("override_reason", "approved_by"):
        if key in level.model_fields_set and not level.override:
            yield (*path, key), "is not used without override: true, leave it out"


def _plain_schema(schema: Any) -> Any:
    """Write the schema as editors know it: numbers with bounds, and no null anywhere."""
    if isinstance(schema, list):
        return [_plain_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain_schema(value) for key, value in schema.items()}
    choices = plain.get("anyOf", [])
    if _NULL in choices:
        (choice,) = (one for one in choices if one != _NULL)
        del plain["anyOf"], plain["default"]
        plain = {**choice, **plain}
    if "le" in plain:
        del plain["anyOf"]
        plain |= {"type": ["number", "string"], "pattern": _GROUPED_DIGITS}
        plain |= {"exclusiveMinimum": plain.pop("gt"), "maximum": int(plain.pop("le"))}
        if "multiple_of" in plain:
            plain["multipleOf"] = plain.pop("multiple_of")
    return plain
