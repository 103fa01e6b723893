import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from structlog.testing import capture_logs

from engine.domain.ports import ContractQuery
from engine.gateway.contract_search import ContractSearch, QueryInvalid, normalised
from engine.gateway.wire.listing import Listing
from engine.gateway.wire.session import CallRefused
from tests.gateway.raw_gateway import (
    QUICK,
    Certificate,
    Seen,
    Stream,
    client_of,
    http,
    raw_gateway,
)

Asked = tuple[str, dict[str, str]]


def find(
    certificate: Certificate, query: ContractQuery, answers: dict[str, Any]
) -> tuple[tuple[Listing, ...], list[Asked]]:
    """What is found, and what was asked. An answer is one for all, or one by a query's word."""
    asked: list[Asked] = []

    async def script(seen: Seen, _stream: Stream) -> bytes:
        target = urlsplit(seen.target.removeprefix("/v1/api"))
        words = {name: values[0] for name, values in parse_qs(target.query).items()}
        asked.append((target.path, words))
        answer = answers.get(target.path, (404, b"<h1>Resource not found</h1>"))
        if callable(answer):
            answer = answer(words)
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return http(status, body)

    async def run() -> tuple[Listing, ...]:
        async with (
            raw_gateway(certificate, script) as gateway,
            client_of(gateway.url, certificate, pacing=replace(QUICK, limits={})) as client,
        ):
            return await ContractSearch(client).find(normalised(query))

    return asyncio.run(run()), asked


def definitions(**currencies: str) -> Any:
    return {
        "secdef": [
            {"conid": int(name.removeprefix("c")), "currency": currency, "listingExchange": "LX"}
            for name, currency in currencies.items()
        ]
    }


def shown(found: tuple[Listing, ...]) -> list[tuple[int, str, str]]:
    return [(one.conid, one.exchange, one.currency) for one in found]


DUAL = {
    "DUAL": [
        {
            "name": "A COMPANY",
            "contracts": [
                {"conid": 1, "exchange": "NYSE", "isUS": True},
                {"conid": 2, "exchange": "IBIS", "isUS": False},
                {"conid": 3, "exchange": "EBS", "isUS": False},
            ],
        },
        {"name": "ANOTHER", "contracts": [{"conid": 4, "exchange": "IBIS", "isUS": False}]},
    ]
}
DUAL_MONEY = definitions(c1="USD", c2="EUR", c3="CHF", c4="EUR")


def test_a_share_with_one_listing_in_the_united_states_is_that_one(
    certificate: Certificate,
) -> None:
    found, asked = find(certificate, ContractQuery(symbol="DUAL"), {"/trsrv/stocks": DUAL})

    assert shown(found) == [(1, "NYSE", "")]
    assert asked == [("/trsrv/stocks", {"symbols": "DUAL"})]


def test_a_currency_and_an_exchange_say_which_share(certificate: Certificate) -> None:
    answers = {"/trsrv/stocks": DUAL, "/trsrv/secdef": DUAL_MONEY}

    in_francs, asked = find(certificate, ContractQuery(symbol="DUAL", currency="chf"), answers)
    in_euro, _ = find(certificate, ContractQuery(symbol="DUAL", currency="EUR"), answers)
    at_ibis, _ = find(certificate, ContractQuery(symbol="DUAL", exchange="ibis"), answers)
    in_yen, _ = find(certificate, ContractQuery(symbol="DUAL", currency="JPY"), answers)

    assert shown(in_francs) == [(3, "EBS", "CHF")]
    assert asked[1] == ("/trsrv/secdef", {"conids": "1,2,3,4"})
    assert shown(in_euro) == [(2, "IBIS", "EUR"), (4, "IBIS", "EUR")]
    assert shown(at_ibis) == [(2, "IBIS", "EUR"), (4, "IBIS", "EUR")]
    assert in_yen == ()


def test_shares_that_cannot_be_described_are_shown_as_they_are(certificate: Certificate) -> None:
    answers = {"/trsrv/stocks": DUAL, "/trsrv/secdef": (503, {"error": "Service Unavailable"})}

    with capture_logs() as logs:
        found, _ = find(certificate, ContractQuery(symbol="DUAL", exchange="IBIS"), answers)

    assert shown(found) == [(2, "IBIS", ""), (4, "IBIS", "")]
    assert [entry["event"] for entry in logs] == ["contracts_not_described"]


def test_a_currency_that_cannot_be_checked_finds_nothing_by_chance(
    certificate: Certificate,
) -> None:
    answers = {"/trsrv/stocks": DUAL, "/trsrv/secdef": (503, {"error": "Service Unavailable"})}

    with pytest.raises(CallRefused):
        find(certificate, ContractQuery(symbol="DUAL", currency="CHF"), answers)


def test_definitions_are_asked_for_by_two_hundred(certificate: Certificate) -> None:
    contracts = [{"conid": n, "exchange": "X", "isUS": False} for n in range(1, 251)]

    def money(words: dict[str, str]) -> Any:
        return definitions(**{f"c{conid}": "USD" for conid in words["conids"].split(",")})

    found, asked = find(
        certificate,
        ContractQuery(symbol="MANY"),
        {"/trsrv/stocks": {"MANY": [{"contracts": contracts}]}, "/trsrv/secdef": money},
    )

    assert [len(words["conids"].split(",")) for path, words in asked[1:]] == [200, 50]
    assert {one.currency for one in found} == {"USD"}


FUTURES = {
    "ES": [
        {"symbol": "ES", "conid": 12, "underlyingConid": 9, "expirationDate": 20270319},
        {"symbol": "ES", "conid": 11, "underlyingConid": 9, "expirationDate": 20261218},
    ]
}


@pytest.mark.parametrize("expiry", ["20261218", "202612"])
def test_a_future_is_found_by_its_day_or_month(certificate: Certificate, expiry: str) -> None:
    query = ContractQuery(symbol="ES", sec_type="FUT", expiry=expiry, exchange="CME")

    found, asked = find(certificate, query, {"/trsrv/futures": FUTURES})

    assert [(one.conid, one.expiry) for one in found] == [(11, "20261218")]
    assert asked == [("/trsrv/futures", {"symbols": "ES", "exchange": "CME"})]


def test_without_an_expiry_all_futures_are_shown_the_nearest_first(
    certificate: Certificate,
) -> None:
    answers = {"/trsrv/futures": FUTURES, "/trsrv/secdef": definitions(c11="USD", c12="USD")}

    found, _ = find(certificate, ContractQuery(symbol="ES", sec_type="FUT"), answers)
    in_euro, _ = find(
        certificate, ContractQuery(symbol="ES", sec_type="FUT", currency="EUR"), answers
    )

    assert [(one.conid, one.expiry, one.exchange, one.currency) for one in found] == [
        (11, "20261218", "LX", "USD"),
        (12, "20270319", "LX", "USD"),
    ]
    assert in_euro == ()


def pair(symbol: str, conid: int) -> dict[str, object]:
    return {"symbol": symbol, "conid": conid}


@pytest.mark.parametrize(
    "query",
    [
        ContractQuery(symbol="EUR.USD", sec_type="CASH"),
        ContractQuery(symbol="eur", sec_type="cash", currency="usd"),
        ContractQuery(symbol="EUR.USD", sec_type="CASH", currency="USD"),
    ],
)
def test_a_pair_is_found_under_either_of_its_currencies(
    certificate: Certificate, query: ContractQuery
) -> None:
    under_euro = {"/iserver/currency/pairs": {"EUR": [pair("EUR.GBP", 7), pair("EUR.USD", 8)]}}

    def under_dollar(words: dict[str, str]) -> Any:
        known = {"EUR": [pair("EUR.GBP", 7)], "USD": [pair("USD.SGD", 9), pair("EUR.USD", 8)]}
        return {words["currency"]: known[words["currency"]]}

    first, asked_once = find(certificate, query, under_euro)
    second, asked_twice = find(certificate, query, {"/iserver/currency/pairs": under_dollar})

    assert [one.conid for one in first] == [one.conid for one in second] == [8]
    assert [words["currency"] for _, words in asked_once] == ["EUR"]
    assert [words["currency"] for _, words in asked_twice] == ["EUR", "USD"]


def test_a_pair_the_other_way_round_is_another_one(certificate: Certificate) -> None:
    answers = {"/iserver/currency/pairs": {"USD": [pair("EUR.USD", 8)]}}

    found, _ = find(certificate, ContractQuery(symbol="USD.EUR", sec_type="CASH"), answers)

    assert found == ()


def test_a_pair_that_is_listed_twice_is_the_clients_choice(certificate: Certificate) -> None:
    twice = [pair("EUR.USD", 8), pair("EUR.USD", 8), pair("EUR.USD", 9)]

    found, _ = find(
        certificate,
        ContractQuery(symbol="EUR.USD", sec_type="CASH"),
        {"/iserver/currency/pairs": {"EUR": twice}},
    )

    assert [one.conid for one in found] == [8, 9]


def test_a_currency_alone_shows_its_pairs(certificate: Certificate) -> None:
    answers = {
        "/iserver/currency/pairs": {
            "EUR": [pair("EUR.GBP", 7), pair("EUR.USD", 8), pair("XEU.EUR", 9)]
        }
    }

    found, _ = find(certificate, ContractQuery(symbol="EUR", sec_type="CASH"), answers)

    assert [one.symbol for one in found] == ["EUR.GBP", "EUR.USD"]


COINS = [
    {
        "conid": "21",
        "symbol": "BTC",
        "companyName": "Bitcoin",
        "description": "PAXOS",
        "sections": [
            {"secType": "CRYPTO", "exchange": "PAXOS"},
            {"secType": "CRYPTO", "exchange": "ZEROHASH", "conid": "22"},
        ],
    }
]


def test_a_coin_is_found_at_its_exchange(certificate: Certificate) -> None:
    answers = {"/iserver/secdef/search": COINS, "/trsrv/secdef": definitions(c21="USD", c22="EUR")}
    query = ContractQuery(symbol="BTC", sec_type="CRYPTO")

    every, asked = find(certificate, query, answers)
    one, _ = find(certificate, replace(query, exchange="paxos"), answers)
    in_euro, _ = find(certificate, replace(query, currency="EUR"), answers)

    assert [(coin.conid, coin.exchange) for coin in every] == [(21, "PAXOS"), (22, "ZEROHASH")]
    assert asked == [("/iserver/secdef/search", {"symbol": "BTC"})]
    assert [coin.conid for coin in one] == [21]
    assert [coin.conid for coin in in_euro] == [22]


OPTION = ContractQuery(
    symbol="AAPL", sec_type="OPT", expiry="202612", strike=Decimal("230.0"), right="call"
)


def underlying(conid: int, months: str = "DEC26;JAN27", where: str = "SMART;AMEX") -> Any:
    section = {"secType": "OPT", "months": months, "exchange": where}
    return {"conid": str(conid), "symbol": "AAPL", "sections": [{"secType": "STK"}, section]}


def written(conid: int, **changes: object) -> dict[str, object]:
    return {
        "conid": conid,
        "secType": "OPT",
        "exchange": "SMART",
        "right": "C",
        "strike": 230,
        "currency": "USD",
        "maturityDate": "20261218",
        "multiplier": "100",
        **changes,
    }


def test_an_option_is_found_by_month_strike_and_right(certificate: Certificate) -> None:
    answers = {
        "/iserver/secdef/search": [underlying(1)],
        "/iserver/secdef/info": [
            written(31),
            written(32, maturityDate="20261211"),
            written(33, strike=231),
            written(34, right="P"),
        ],
    }

    by_month, asked = find(certificate, OPTION, answers)
    by_day, _ = find(certificate, replace(OPTION, expiry="20261218"), answers)
    in_euro, _ = find(certificate, replace(OPTION, currency="EUR"), answers)

    assert [(one.conid, one.expiry) for one in by_month] == [(31, "20261218"), (32, "20261211")]
    assert asked == [
        ("/iserver/secdef/search", {"symbol": "AAPL", "secType": "STK"}),
        (
            "/iserver/secdef/info",
            {
                "conid": "1",
                "sectype": "OPT",
                "month": "DEC26",
                "exchange": "SMART",
                "strike": "230",
                "right": "C",
            },
        ),
    ]
    assert [one.conid for one in by_day] == [31]
    assert [one.underlying_conid for one in by_day] == [1]
    assert in_euro == ()


def test_an_option_without_a_right_is_a_call_or_a_put(certificate: Certificate) -> None:
    answers = {
        "/iserver/secdef/search": [underlying(1)],
        "/iserver/secdef/info": [written(31), written(34, right="P")],
    }

    found, asked = find(certificate, replace(OPTION, right=None), answers)

    assert [(one.conid, one.right) for one in found] == [(31, "C"), (34, "P")]
    assert "right" not in asked[1][1]


def test_an_option_without_a_strike_shows_the_strikes_of_its_month(
    certificate: Certificate,
) -> None:
    answers = {
        "/iserver/secdef/search": [underlying(1)],
        "/iserver/secdef/strikes": {"call": [225, 230], "put": [225]},
    }

    both, asked = find(certificate, replace(OPTION, strike=None, right=None), answers)
    puts, _ = find(certificate, replace(OPTION, strike=None, right="P"), answers)

    assert [(one.conid, one.strike, one.right) for one in both] == [
        (0, Decimal(225), "C"),
        (0, Decimal(225), "P"),
        (0, Decimal(230), "C"),
    ]
    assert asked[1][0] == "/iserver/secdef/strikes"
    assert [(one.strike, one.right) for one in puts] == [(Decimal(225), "P")]


def test_an_option_without_an_expiry_shows_the_months(certificate: Certificate) -> None:
    answers = {"/iserver/secdef/search": [underlying(1)]}

    found, _ = find(certificate, ContractQuery(symbol="AAPL", sec_type="OPT"), answers)

    assert [(one.conid, one.expiry) for one in found] == [(0, "202612"), (0, "202701")]


def test_an_option_in_a_month_that_is_not_listed_is_not_asked_for(
    certificate: Certificate,
) -> None:
    answers = {"/iserver/secdef/search": [underlying(1)]}

    found, asked = find(certificate, replace(OPTION, expiry="202702"), answers)

    assert found == ()
    assert len(asked) == 1


def test_an_option_on_an_index_is_found_when_no_share_has_one(certificate: Certificate) -> None:
    def search(words: dict[str, str]) -> Any:
        return [underlying(2)] if words["secType"] == "IND" else [{"conid": "1", "symbol": "AAPL"}]

    answers = {"/iserver/secdef/search": search, "/iserver/secdef/info": [written(41)]}

    found, asked = find(certificate, OPTION, answers)

    assert [(one.conid, one.underlying_conid) for one in found] == [(41, 2)]
    assert [words.get("secType") for _, words in asked[:2]] == ["STK", "IND"]


def test_an_option_is_looked_for_where_it_trades(certificate: Certificate) -> None:
    answers = {
        "/iserver/secdef/search": [underlying(1), underlying(2, where="EUREX")],
        "/iserver/secdef/info": lambda words: [written(int(words["conid"]) * 10)],
    }

    everywhere, asked = find(certificate, OPTION, answers)
    at_eurex, _ = find(certificate, replace(OPTION, exchange="EUREX"), answers)

    assert [one.conid for one in everywhere] == [10, 20]
    assert [words["exchange"] for _, words in asked[1:]] == ["SMART", "EUREX"]
    assert [one.conid for one in at_eurex] == [20]


def test_options_on_too_many_contracts_are_the_clients_choice(certificate: Certificate) -> None:
    answers = {"/iserver/secdef/search": [underlying(conid) for conid in range(1, 7)]}

    with pytest.raises(QueryInvalid, match="options on AAPL are written on 6 contracts"):
        find(certificate, OPTION, answers)


@pytest.mark.parametrize(
    "answer", [[], (200, {"error": "no symbol found"}), (400, {"error": "bad symbol"})]
)
def test_a_search_that_says_no_finds_nothing(certificate: Certificate, answer: Any) -> None:
    answers = {"/iserver/secdef/search": answer}

    options, _ = find(certificate, OPTION, answers)
    coins, _ = find(certificate, ContractQuery(symbol="XYZ", sec_type="CRYPTO"), answers)

    assert (options, coins) == ((), ())


def test_a_search_that_cannot_be_made_is_not_an_empty_one(certificate: Certificate) -> None:
    with pytest.raises(CallRefused):
        find(certificate, OPTION, {"/iserver/secdef/search": (401, b"Access Denied")})


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (ContractQuery(symbol="  "), "the symbol is empty"),
        (ContractQuery(symbol="X", currency="US"), "the currency is 'US', expected three letters"),
        (ContractQuery(symbol="X", sec_type="FUT", expiry="2026"), "the expiry is '2026'"),
        (ContractQuery(symbol="X", sec_type="FUT", expiry="20261332"), "the expiry is '20261332'"),
        (ContractQuery(symbol="X", sec_type="OPT", right="X"), "the right is 'X', expected C or P"),
        (ContractQuery(symbol="X", sec_type="OPT", strike=Decimal(0)), "the strike is 0"),
        (ContractQuery(symbol="X", sec_type="OPT", strike=Decimal("NaN")), "the strike is NaN"),
        (ContractQuery(symbol="X", expiry="202612"), "a STK has no expiry"),
        (ContractQuery(symbol="X", sec_type="FUT", right="C"), "a FUT has no strike and no right"),
        (
            ContractQuery(symbol="EUR.USD", sec_type="CASH", currency="GBP"),
            "the pair EUR.USD is in USD, asked was GBP",
        ),
    ],
)
def test_words_that_mean_nothing_are_refused(query: ContractQuery, words: str) -> None:
    with pytest.raises(QueryInvalid, match=words):
        normalised(query)


def test_words_are_written_as_the_broker_writes_them() -> None:
    query = ContractQuery(
        symbol=" aapl", sec_type="opt", exchange="smart", currency="", expiry="202612", right="Put"
    )

    assert normalised(query) == ContractQuery(
        symbol="AAPL", sec_type="OPT", expiry="202612", right="P"
    )


def test_a_symbol_of_a_recorded_list_is_found(certificate: Certificate, data: Path) -> None:
    answers = {"/trsrv/stocks": (data / "stocks.json").read_bytes()}

    found, _ = find(certificate, ContractQuery(symbol="aapl"), answers)

    assert [one.conid for one in found] == [265598]
