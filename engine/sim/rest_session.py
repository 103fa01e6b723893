"""REST: login tiers, keep-alive, accounts of the brokerage session.

Rule: `authenticated` alone means little; `established` says when orders pass.
"""

from typing import Any, Final

from engine.sim.answers import Answer, Call, error, unavailable
from engine.sim.routes import GET, GET_OR_POST, POST, Route
from engine.sim.session import Tier
from engine.sim.world import World

_USER_ID: Final = 123_456


def auth_status(world: World, call: Call) -> Answer:
    """State of the brokerage session."""
    return Answer(body=world.auth_status(call.now_ms))


def open_brokerage(world: World, call: Call) -> Answer:
    """`ssodh/init`; an HTTP 200 with `authenticated: false` is a failed one."""
    if not isinstance(call.body, dict) or call.body.get("publish") is not True:
        return error("Bad Request: publish must be true", 500)
    if world.faults.holds("backend_down"):
        world.faults.struck["backend_down"] += 1
        return unavailable()
    if world.faults.takes("init_fails"):
        failed = {**world.auth_status(call.now_ms), "authenticated": False, "established": False}
        return Answer(body={**failed, "fail": "Login failed"})
    if call.body.get("compete") is True:
        world.faults.end("competing")
    if not world.faults.holds("competing"):
        world.session.open_brokerage(call.now_ms)
    return Answer(body=world.auth_status(call.now_ms))


def tickle(world: World, call: Call) -> Answer:
    """Keep-alive; it never opens a brokerage session again."""
    login = world.session.login
    assert login is not None, "the router checked the login tier"
    return Answer(
        body={
            "session": login.session_id,
            "ssoExpires": world.session.sso_expires_ms(call.now_ms),
            "collission": world.is_competing,
            "userId": _USER_ID,
            "hmds": {"error": "no bridge"},
            "iserver": {"authStatus": world.auth_status(call.now_ms)},
        }
    )


def validate(world: World, call: Call) -> Answer:
    """The browser login and how long it lasts."""
    login = world.session.login
    assert login is not None, "the router checked the login tier"
    user = world.config.username
    body: dict[str, Any] = {
        "USER_ID": _USER_ID,
        "USER_NAME": user,
        "RESULT": True,
        "AUTH_TIME": login.at_ms,
        "SF_ENABLED": False,
        "IS_FREE_TRIAL": False,
        "CREDENTIAL": user,
        "IP": "127.0.0.1",
        "EXPIRES": world.session.sso_expires_ms(call.now_ms),
        "QUALIFIED_FOR_MOBILE_AUTH": None,
        "LANDING_APP": "UNIVERSAL",
        "IS_MASTER": False,
        "lastAccessed": call.now_ms,
        "LOGIN_TYPE": 2 if world.is_paper else 1,
        "PAPER_USER_NAME": user,
        "features": {"env": "PROD", "wlms": True, "realtime": True, "bond": True},
        "region": "NJ",
    }
    return Answer(body=body)


def log_out(world: World, _: Call) -> Answer:
    """End both tiers; resting orders stay alive."""
    world.session.log_out()
    return Answer(body={"status": True})


def accounts(world: World, _: Call) -> Answer:
    """The brokerage accounts; reading them primes the session for orders."""
    assert world.session.brokerage is not None, "the router checked the brokerage tier"
    if world.faults.holds("empty_accounts"):
        world.faults.struck["empty_accounts"] += 1
        return Answer(body={})
    world.session.brokerage.primed = True
    return Answer(body=world.accounts_body())


def select_account(world: World, call: Call) -> Answer:
    """Switch the account the session has selected."""
    brokerage = world.session.brokerage
    assert brokerage is not None, "the router checked the brokerage tier"
    account = call.body.get("acctId") if isinstance(call.body, dict) else None
    if account is None:
        return error("Bad Request: acctId is missing", 400)
    if account == brokerage.selected_account:
        return Answer(body={"success": "Account already set"})
    if account not in world.config.accounts:
        return Answer(body={"error": "Invalid account ID"}, status=500)
    brokerage.selected_account = account
    return Answer(body={"set": True, "acctId": account})


ROUTES: Final = (
    Route(methods=GET_OR_POST, pattern="/iserver/auth/status", handler=auth_status),
    Route(methods=POST, pattern="/iserver/auth/ssodh/init", handler=open_brokerage),
    # One tickle a second on average: a client that connects tickles twice at once.
    Route(methods=GET_OR_POST, pattern="/tickle", handler=tickle, per_ms=5000, burst=5),
    Route(methods=GET, pattern="/sso/validate", handler=validate, per_ms=60_000),
    Route(methods=POST, pattern="/logout", handler=log_out),
    Route(methods=GET, pattern="/iserver/accounts", handler=accounts, tier=Tier.BROKERAGE),
    Route(methods=POST, pattern="/iserver/account", handler=select_account, tier=Tier.PRIMED),
)
