import pytest

from engine.sim.answers import Answer, Call
from engine.sim.routes import DELETE, GET, POST, Route, Router
from engine.sim.world import World


def nothing(_world: World, _call: Call) -> Answer:
    return Answer(body=None)


ORDERS = Route(methods=GET, pattern="/iserver/account/orders", handler=nothing)
PLACE = Route(methods=POST, pattern="/iserver/account/{account}/orders", handler=nothing)
CANCEL = Route(methods=DELETE, pattern="/iserver/account/{account}/order/{order}", handler=nothing)
ROUTER = Router((ORDERS, PLACE, CANCEL))


def test_segments_in_braces_are_handed_over() -> None:
    match = ROUTER.match("DELETE", "/iserver/account/DU1/order/-1")

    assert match is not None
    assert match.route is CANCEL
    assert match.parts == {"account": "DU1", "order": "-1"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/iserver/account/orders"),
        ("GET", "/iserver/account/DU1/orders"),
        ("GET", "/iserver/account"),
        ("GET", "/"),
    ],
)
def test_another_method_or_length_does_not_match(method: str, path: str) -> None:
    assert ROUTER.match(method, path) is None


def test_a_trailing_slash_does_not_matter() -> None:
    match = ROUTER.match("GET", "/iserver/account/orders/")

    assert match is not None
    assert match.route is ORDERS
