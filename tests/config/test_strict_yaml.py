import pathlib
from decimal import Decimal

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from engine.config.strict_yaml import ConfigError, Mark, read_file, read_scalar, read_text


def read(text: str) -> object:
    return read_text(text, file="risk.yaml").value


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-5", -5),
        ("+7", 7),
        ("0", 0),
        ("100_000", 100_000),
        ("1_000.50", Decimal("1000.50")),
        ("0.1", Decimal("0.1")),
        ("-.5", Decimal("-0.5")),
        ("123456789.123456789", Decimal("123456789.123456789")),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_numbers_booleans_and_nothing_are_read_from_their_digits(text: str, value: object) -> None:
    found = read(f"key: {text}")

    assert found == {"key": value}
    assert isinstance(found, dict)
    assert type(found["key"]) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "no", "on", "off", "True", "TRUE", "y", "Null"),
        *("1e6", "1e309", "1.5e3", ".inf", "-.inf", ".nan", "NaN", "inf", "0x10", "0o17", "0b1"),
        *("007", "1:30", "12:30:45", "1_0", "10_00", "1__000", "5.", "1,300", "2026-01-05", "--1"),
    ],
)
def test_what_other_readers_turn_into_a_surprise_stays_text(text: str) -> None:
    assert read(f"key: {text}") == {"key": text}


def test_quoted_numbers_and_blocks_of_text_stay_text() -> None:
    text = "a: '1'\nb: \"true\"\nc: |\n  12\n"

    assert read(text) == {"a": "1", "b": "true", "c": "12\n"}


def test_the_same_key_twice_is_refused_with_both_lines() -> None:
    text = "order:\n  max_qty: 5\n  other: 1\n  max_qty: 50\n"

    assert refusal(text) == "risk.yaml:4:3: order.max_qty: appears twice, on lines 2 and 4"


NO_TAGS = "tags are not supported"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\n", "risk.yaml:1:4: a: found the anchor &x, anchors are not supported"),
        ("a: *x\n", "risk.yaml:1:4: a: found the alias *x, write the value out"),
        ("<<: {a: 1}\n", "risk.yaml:1:1: found a merge key <<, write the entries out"),
        ("a: !!python/name:os.system x\n",
         "risk.yaml:1:4: a: found the tag tag:yaml.org,2002:python/name:os.system, "
         + NO_TAGS),
        ("a: !!float 1\n", "risk.yaml:1:4: a: found the tag tag:yaml.org,2002:float, " + NO_TAGS),
        ("&a x: 1\n", "risk.yaml:1:1: found the anchor &a, anchors are not supported"),
        ("a: 1\n---\nb: 2\n",
         "risk.yaml:2:1: found a second document, one file holds one document"),
        ("%TAG ! tag:x,2026:\n---\na: 1\n",
         "risk.yaml:1:1: found a %TAG directive, tags are not supported"),
        ("1: a\n", "risk.yaml:1:1: found the key 1, keys are text: put it in quotes"),
        ("a:\n  true: b\n",
         "risk.yaml:2:3: a: found the key true, keys are text: put it in quotes"),
        ("? [a]\n: b\n", "risk.yaml:1:3: found a key that is no text"),
        ("a: b: c\n", "risk.yaml:1:5: is not YAML: mapping values are not allowed here"),
        ("a: " + "9" * 41 + "\n",
         "risk.yaml:1:4: a: found a number of 41 characters, the limit is 40"),
    ],
)  # fmt: skip
def test_what_a_config_file_does_not_need_is_refused_by_name(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_nesting_is_bounded_before_it_can_exhaust_the_stack(opening: str) -> None:
    assert "is nested deeper than 32 levels, the limit" in refusal(opening * 5000)


def test_size_is_bounded_in_bytes() -> None:
    text = "# " + "é" * (512 * 1024)

    assert refusal(text) == "risk.yaml: is 1048578 bytes long, the limit is 1048576 bytes"


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n"])
def test_an_empty_file_is_nothing_at_its_first_line(text: str) -> None:
    document = read_text(text, file="risk.yaml")

    assert document.value is None
    assert document.mark(("a", "b")) == Mark(file="risk.yaml", line=1, column=1)


def test_every_entry_knows_its_place_and_a_missing_one_its_nearest_parent() -> None:
    text = "defaults:\n  order:\n    max_qty: {STK: 5, OPT: 1}\n  list:\n    - a\n    - b: 1\n"

    document = read_text(text, file="risk.yaml")

    assert {
        path: (document.mark(path).line, document.mark(path).column)
        for path in [
            ("defaults",),
            ("defaults", "order", "max_qty"),
            ("defaults", "order", "max_qty", "OPT"),
            ("defaults", "order", "max_qty", "FUT", "deeper"),
            ("defaults", "list", 0),
            ("defaults", "list", 1, "b"),
            ("accounts", "DU1"),
        ]
    } == {
        ("defaults",): (1, 1),
        ("defaults", "order", "max_qty"): (3, 5),
        ("defaults", "order", "max_qty", "OPT"): (3, 23),
        ("defaults", "order", "max_qty", "FUT", "deeper"): (3, 5),
        ("defaults", "list", 0): (5, 7),
        ("defaults", "list", 1, "b"): (6, 7),
        ("accounts", "DU1"): (1, 1),
    }
    assert str(document.mark(("defaults", "list", 1, "b"))) == "risk.yaml:6"
    assert str(document.error("found 1", ("defaults", "list", 1, "b"))) == (
        "risk.yaml:6:7: defaults.list[1].b: found 1"
    )


WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("éß漢\n"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**30), 10**30) | WORDS,
        lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
        max_leaves=20,
    )
)
def test_what_a_yaml_writer_wrote_is_read_back(value: object) -> None:
    text = yaml.safe_dump(value, default_flow_style=None, allow_unicode=True)
    if any(token in text for token in ("&id", "!!")):
        return  # the writer shares equal lists by anchors

    assert read(text) == value


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}", fullmatch=True))
def test_a_decimal_keeps_every_digit(text: str) -> None:
    assert read(f"key: {text}") == {"key": Decimal(text)}
    assert format(read_scalar(text), "f") == text


@given(
    st.text()
    | st.text(alphabet="ab:-[]{},'\"\\Uux0123456789 \n\t|>&*!%#?<~.=@`")
    | st.text(alphabet=st.characters())
)
@example('"\\UFFFFFFFF"')
@example("%YAML " + "1" * 5000 + ".1\n--- a")
@example("\ud800")
@example("\x00")
@example("a: \x07")
@example("- - - a\n -b")
def test_any_text_is_read_or_refused_and_nothing_else_happens(text: str) -> None:
    try:
        read_text(text, file="risk.yaml")
    except ConfigError as error:
        assert str(error).startswith("risk.yaml")  # noqa: PT017 - most texts raise nothing


def test_a_missing_file_a_directory_and_a_wrong_encoding_are_refused(
    tmp_path: pathlib.Path,
) -> None:
    wrong = tmp_path / "latin.yaml"
    wrong.write_bytes(b"a: 1\nb: caf\xe9\n")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (1024 * 1024 + 1))

    messages = []
    for file in (tmp_path / "none.yaml", tmp_path, wrong, large):
        with pytest.raises(ConfigError) as caught:
            read_file(file)
        messages.append(str(caught.value))

    assert messages == [
        "none.yaml: cannot be read: No such file or directory",
        f"{tmp_path.name}: cannot be read: Is a directory",
        "latin.yaml:2: found the byte 0xe9, needs UTF-8 text",
        "large.yaml: is larger than 1048576 bytes, the limit",
    ]
