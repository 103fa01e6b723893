"""How a person reads an order."""

import pytest

from engine.cli.order_rows import algo_text, evidence_text, group_text, sentence, time_text
from tests.cli.bodies import BRACKET, EVIDENCE, LEG, ORDER


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2026-01-05T15:00:00.000000Z", "2026-01-05 15:00:00 UTC"),
        ("2026-01-05T15:00:00.123456Z", "2026-01-05 15:00:00.123 UTC"),
        ("2026-01-05T10:00:00-05:00", "2026-01-05 15:00:00 UTC"),
        (None, "-"),
    ],
)
def test_a_time_is_written_in_utc(value: object, text: str) -> None:
    assert time_text(value) == text


def test_a_group_is_named_by_the_order_that_was_sent_first() -> None:
    assert [group_text(order) for order in (ORDER, BRACKET, LEG)] == [
        "-",
        "bracket",
        "bracket of 1-7",
    ]


def test_an_algorithm_without_parameters_is_its_name() -> None:
    assert algo_text({"name": "Twap", "parameters": []}) == "Twap"
    assert algo_text(None) == "-"


def test_evidence_that_is_a_proof_lacks_nothing() -> None:
    proof = EVIDENCE | {
        "missing": [],
        "canaries": [],
        "positions_agree": True,
        "same_login": False,
        "list_reads": 4,
    }

    assert evidence_text(proof) == (
        "3 min after it was sent (a proof needs 60 s), 3 min of a healthy session, 4 lists and 12 "
        "trade reads that count, in another login, positions agree"
    )
    assert evidence_text(None) == "-"


def test_a_sentence_names_the_time_that_an_order_stays_till() -> None:
    assert sentence(LEG) == (
        "order 1-8: SELL 100 AAPL STK LMT at 200 GTD 2026-12-18 21:00:00 UTC for DU1111111 is "
        "ACCEPTED, bracket of 1-7"
    )
