from engine.sim.answers import Answer
from engine.sim.responses import EDGE_PAGE, date_header, raw, response_to


def test_an_answer_is_chunked_and_dated_by_the_clock_of_the_gateway() -> None:
    response = response_to(Answer(body={"a": 1}, status=503), 1_700_000_000_999)

    assert (response.status, response.body, response.chunked) == (503, b'{"a":1}', True)
    assert response.headers["Date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert date_header(0) == {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}


def test_a_raw_answer_is_what_goes_over_the_wire() -> None:
    whole = raw(Answer(body=[1]))

    head, _, body = whole.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/json")
    assert body == b"3\r\n[1]\r\n0\r\n\r\n"


def test_the_page_of_the_edge_is_no_json() -> None:
    assert (EDGE_PAGE.status, EDGE_PAGE.content_type) == (403, "text/html")
