"""`risk.yaml`: what it may say, what is said about what it may not, and when it is replaced."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.risk import (
    Reload,
    _policy,
    load_risk_policy,
    reload_risk_policy,
    risk_json_schema,
)
from engine.config.strict_yaml import ConfigError, ConfigProblems, read_text
from engine.domain.risk import Level, Override, RiskPolicy, Setting
from engine.domain.risk.limits import BUILT_IN_SETTINGS
from engine.domain.values import AccountId, Answer, TradingState

EXAMPLE = Path(__file__).parents[2] / "examples" / "risk.yaml"

WHOLE = """\
version: 7
approved_by: [cro]
units: {notional_ccy: EUR}
defaults:
  trading_state: reduce_only
  price: {max_age_ms: 2_000}
  order:
    max_qty: {STK: 500, FUT: 2}
    max_notional: {abs: 100_000.50}
    market: {max_spread_bps: 12.5}
  position:
    max_qty: 1000
    max_notional: {abs: 200_000}
  working:
    max_total: 9
    max_per_conid_side: 15
  instruments:
    allow_sec_types: [STK, FUT]
  broker_messages:
    o354: accept
    default: decline
groups:
  desk:
    override: true
    override_reason: mandate
    approved_by: [cro, ceo]
    order:
      max_qty: {FUT: 40}
accounts:
  DU1234567:
    groups: [desk, desk]
    trading_state: halt
  DU7654321: {}
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "risk.yaml"
    file.write_text(text)
    return file


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_risk_policy(written(folder, text))
    return str(caught.value).splitlines()


def line(
    value: Decimal | int | TradingState | Answer | frozenset[str] | str, number: int
) -> Setting:
    if isinstance(value, int):
        value = Decimal(value)
    return Setting(value=value, source=f"risk.yaml:{number}")


def test_every_value_of_a_file_has_its_line(tmp_path: Path) -> None:
    policy = load_risk_policy(written(tmp_path, WHOLE))

    assert policy == RiskPolicy(
        version=7,
        approved_by=("cro",),
        defaults={
            "units.notional_ccy": line("EUR", 3),
            "trading_state": line(TradingState.REDUCE_ONLY, 5),
            "price.max_age_ms": line(2_000, 6),
            "order.max_qty.STK": line(500, 8),
            "order.max_qty.FUT": line(2, 8),
            "order.max_notional.abs": line(Decimal("100000.50"), 9),
            "order.market.max_spread_bps": line(Decimal("12.5"), 10),
            "position.max_qty": line(1_000, 12),
            "position.max_notional.abs": line(200_000, 13),
            "working.max_total": line(9, 15),
            "working.max_per_conid_side": line(15, 16),
            "instruments.allow_sec_types": line(frozenset({"STK", "FUT"}), 18),
            "broker_messages.o354": line(Answer.ACCEPT, 20),
            "broker_messages.default": line(Answer.DECLINE, 21),
        },
        groups={
            "desk": Level(
                settings={"order.max_qty.FUT": line(40, 28)},
                override=Override(reason="mandate", approved_by=("cro", "ceo")),
            )
        },
        accounts={
            AccountId("DU1234567"): Level(
                settings={"trading_state": line(TradingState.HALT, 32)}, groups=("desk",)
            ),
            AccountId("DU7654321"): Level(),
        },
    )
    assert policy.problems() == ()


def test_a_version_is_enough_for_the_built_in_limits(tmp_path: Path) -> None:
    policy = load_risk_policy(written(tmp_path, "version: 1\n"))

    assert policy.limits_for(AccountId("DU1234567")).settings == BUILT_IN_SETTINGS


def test_the_example_is_a_good_file_and_marks_what_is_not_built_in() -> None:
    policy = load_risk_policy(EXAMPLE)

    lines = EXAMPLE.read_text().splitlines()
    for name, setting in policy.effective(None).items():
        built_in = BUILT_IN_SETTINGS.get(name)
        if setting != built_in:
            text = lines[int(setting.source.removeprefix("risk.yaml:")) - 1]
            same = built_in is not None and built_in.value == setting.value
            assert (re.search(r"# \*( |$)", text) is None) == same, text
    desk = policy.limits_for(AccountId("DU1111111"))
    assert desk.max_qty("STK").value == 1_000
    assert desk.groups == ("block_desk",)
    assert policy.limits_for(AccountId("DU2222222")).order_max_notional.value == 20_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "risk.yaml:1:1: version: is missing, needs a whole number from 1 up"),
        ("- version", "risk.yaml:1:1: found a list, needs a mapping of version, approved_by"),
        ("version: nine", "risk.yaml:1:1: version: found 'nine', needs a whole number from 1 up"),
        ("version: true", "risk.yaml:1:1: version: found true, needs a whole number from 1 up"),
        ("version: 0", "risk.yaml:1:1: version: found 0, needs a whole number from 1 up"),
        ("version: 1.5", "risk.yaml:1:1: version: found 1.5, needs a whole number from 1 up"),
        ("version: 1\nversion: 2", "risk.yaml:2:1: version: appears twice, on lines 1 and 2"),
        (
            "version: 1\ndefault: {}",
            "risk.yaml:2:1: default: is not a known key: did you mean defaults? allowed here:",
        ),
        ("version: 1\ngroups:", "risk.yaml:2:1: groups: found nothing, needs a mapping of group"),
        ("version: 1\ndefaults:", "risk.yaml:2:1: defaults: found nothing, needs a value"),
        ("version: 1\nunits: {notional_ccy: usd}", "found 'usd', needs a currency of three"),
        ("version: 1\napproved_by: cro", "approved_by: found 'cro', needs a list of names"),
        ("version: 1\napproved_by: ['']", "approved_by[0]: found '', needs a text of 1 to 200"),
        ("version: 1\naccounts: {du1: {}}", "accounts.du1: found the key 'du1', needs a mapping"),
        ("version: 1\ngroups: {'a b': {}}", "found the key 'a b', needs a mapping of group names"),
        (
            "version: 1\naccounts: {DU1234567: {groups: [desk]}}",
            "risk.yaml:2:24: accounts.DU1234567.groups: found the group 'desk', known groups: none",
        ),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, expected: str) -> None:
    (problem,) = problems(tmp_path, text)

    assert expected in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trading_state: true", "found true, needs one of normal, reduce_only, cancel_only, halt"),
        ("trading_state: off", "found 'off', needs one of normal, reduce_only, cancel_only, halt"),
        ("price: {max_age_ms: 0}", "found 0, needs a whole number above 0 and at most 3600000 ms"),
        ("price: {max_age_ms: 1.5}", "found 1.5, needs a whole number above 0"),
        ("price: {max_age_ms: }", "found nothing, needs a value, or leave the key out"),
        ("price: 3", "defaults.price: found 3, needs a mapping of max_age_ms"),
        ("order: {max_qty: 5}", "found 5, needs a mapping of security types to units"),
        ("order: {max_qty: {STK: -5}}", "found -5, needs a number above 0 and at most"),
        ("order: {max_qty: {STK: '5'}}", "found '5', needs a number above 0"),
        ("order: {max_qty: {STK: true}}", "found true, needs a number above 0"),
        ("order: {max_qty: {STK: 1e3}}", "found '1e3', needs a number above 0"),
        ("order: {max_qty: {STK: .nan}}", "found '.nan', needs a number above 0"),
        ("order: {max_qty: {STK: .inf}}", "found '.inf', needs a number above 0"),
        (
            "order: {max_qty: {STK: 1_000_000_000_000_001}}",
            "found 1000000000000001, needs a number above 0 and at most 1000000000000000 units",
        ),
        ("order: {max_qty: {ETF: 5}}", "found the key 'ETF', needs a mapping of security types"),
        ("order: {max_notional: 5}", "found 5, needs a mapping of abs"),
        ("order: {max_notional: {pct_nlv: 5}}", "is not a known key: allowed here: abs"),
        (
            "order: {max_notional: {abs: -0.01}}",
            "found -0.01, needs a number above 0 and at most 1000000000000000 of units",
        ),
        ("order: {market: {max_spread_bps: 10_001}}", "at most 10000 bps"),
        ("working: {max_per_conid_side: 16}", "found 16, needs a whole number above 0 and at most"),
        ("instruments: {allow_sec_types: STK}", "found 'STK', needs a list of security types"),
        ("instruments: {allow_sec_types: [ETF]}", "found 'ETF', needs one of BILL"),
        ("instruments: {allow_sec_types: [1]}", "found a list, needs a list of security types"),
        ("broker_messages: {o354: yes}", "found 'yes', needs one of accept, decline"),
        ("broker_messages: {o354: false}", "found false, needs one of accept, decline"),
        ("broker_messages: {O354: accept}", "found the key 'O354', needs a mapping of the broker"),
        ("override: true", "defaults.override: is not a known key"),
    ],
)
def test_a_wrong_limit_is_explained(tmp_path: Path, text: str, expected: str) -> None:
    (problem,) = problems(tmp_path, f"version: 1\ndefaults:\n  {text}\n")

    assert problem.startswith("risk.yaml:3:")
    assert expected in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("override: true, approved_by: [a]", "override: found true, needs override_reason as well"),
        ("override: true, override_reason: a", "needs a name in approved_by as well"),
        ("override_reason: a", "override_reason: is not used without override: true"),
        ("approved_by: [a]", "approved_by: is not used without override: true"),
        ("override: yes", "override: found 'yes', needs true or false"),
    ],
)
def test_an_override_needs_all_of_its_words(tmp_path: Path, text: str, expected: str) -> None:
    (problem,) = problems(tmp_path, f"version: 1\ngroups: {{desk: {{{text}}}}}\n")

    assert problem.startswith("risk.yaml:2:")
    assert expected in problem


def test_a_looser_level_is_refused_and_both_lines_are_named(tmp_path: Path) -> None:
    text = WHOLE.replace("    override: true\n", "").replace(
        "    override_reason: mandate\n    approved_by: [cro, ceo]\n", ""
    )

    (problem,) = problems(tmp_path, text)

    assert problem == (
        "risk.yaml:25:17: groups.desk.order.max_qty.FUT: found 40 (risk.yaml:25), looser than"
        " 2 (risk.yaml:8); needs a tighter value, or override: true with override_reason and"
        " approved_by"
    )


def test_everything_that_is_wrong_is_said_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "version: 0\ndefaults:\n  price: {max_age_ms: -1}\ngroups: {desk: {override: true}}\n"

    found = problems(tmp_path, text)

    assert [problem.split(": ")[:2] for problem in found] == [
        ["risk.yaml:1:1", "version"],
        ["risk.yaml:3:11", "defaults.price.max_age_ms"],
    ]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"risk\.yaml: cannot be read"):
        load_risk_policy(tmp_path / "risk.yaml")


TOKENS = [match.span() for match in re.finditer(r"[A-Za-z0-9_.]+|[\[\]{}:,]", WHOLE)]
WORDS = ["", "null", "true", "no", "-1", "0", "1e9", "9" * 30, "[]", "{}", "x", "'5'", ":", "?"]


@given(
    st.lists(st.tuples(st.sampled_from(TOKENS), st.sampled_from(WORDS)), min_size=1, max_size=3),
)
def test_a_damaged_file_is_either_a_sound_policy_or_explained(
    damages: list[tuple[tuple[int, int], str]],
) -> None:
    text = WHOLE
    for (start, end), word in sorted(damages, reverse=True):
        text = text[:start] + word + text[end:]

    explained, policy = "", None
    try:
        policy = _policy(read_text(text, file="risk.yaml"))
    except ConfigError as error:
        explained = str(error)

    assert explained.startswith("risk.yaml") == (policy is None)
    assert policy is None or policy.problems() == ()


def test_tightening_replaces_a_policy_without_a_word(tmp_path: Path) -> None:
    current = load_risk_policy(written(tmp_path, WHOLE))
    file = written(tmp_path, WHOLE.replace("{STK: 500,", "{STK: 400,"))

    reload = reload_risk_policy(file, current)

    assert [str(change) for change in reload.changes] == [
        "defaults order.max_qty.STK tightened from 500 to 400 (risk.yaml:8)",
        "DU1234567 order.max_qty.STK tightened from 500 to 400 (risk.yaml:8)",
        "DU7654321 order.max_qty.STK tightened from 500 to 400 (risk.yaml:8)",
    ]
    assert reload.policy == load_risk_policy(file)


def test_loosening_is_refused_without_a_version_and_a_name(tmp_path: Path) -> None:
    current = load_risk_policy(written(tmp_path, WHOLE))
    looser = WHOLE.replace("{STK: 500,", "{STK: 600,")

    with pytest.raises(ConfigError) as same_version:
        reload_risk_policy(written(tmp_path, looser), current)
    text = looser.replace("version: 7\napproved_by: [cro]", "version: 8")
    with pytest.raises(ConfigError) as nobody:
        reload_risk_policy(written(tmp_path, text), current)
    approved = reload_risk_policy(
        written(tmp_path, looser.replace("version: 7", "version: 8")), current
    )

    assert str(same_version.value) == (
        "risk.yaml:1:1: version: loosens limits, which needs a version above 7 (found 7):"
        " defaults order.max_qty.STK loosened from 500 to 600 (risk.yaml:8) and 2 more"
    )
    assert "needs a name in approved_by (found none)" in str(nobody.value)
    assert all(change.loosens for change in approved.changes)


def test_a_file_that_only_moved_its_lines_changes_nothing_but_the_sources(tmp_path: Path) -> None:
    current = load_risk_policy(written(tmp_path, WHOLE))
    file = written(tmp_path, "# a comment\n" + WHOLE)

    reload = reload_risk_policy(file, current)

    assert reload == Reload(policy=load_risk_policy(file), changes=())
    assert reload.policy.policy_hash == current.policy_hash
    assert reload.policy.limits_for(AccountId("DU1234567")).source("trading_state") == (
        "risk.yaml:33"
    )


def test_several_problems_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigProblems) as caught:
        load_risk_policy(written(tmp_path, "version: 0\nx: 1\n"))

    assert [problem.path for problem in caught.value.problems] == ["version", "x"]


def test_the_schema_speaks_to_editors() -> None:
    schema = risk_json_schema()

    definitions = schema["$defs"]
    assert isinstance(definitions, dict)
    assert definitions["Working"]["properties"]["max_per_conid_side"] == {
        "type": ["number", "string"],
        "pattern": r"^[0-9]{1,3}(_[0-9]{3})+(\.[0-9]+)?$",
        "exclusiveMinimum": 0,
        "maximum": 15,
        "multipleOf": 1,
        "description": "a whole number above 0 and at most 15 orders",
        "title": "Max Per Conid Side",
    }
    assert definitions["Defaults"]["properties"]["price"] == {"$ref": "#/$defs/Price"}
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["version"]
    assert '"null"' not in json.dumps(schema)
