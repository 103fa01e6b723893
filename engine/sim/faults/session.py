"""Faults of logins and sessions."""

from dataclasses import dataclass

from engine.sim.faults.kinds import condition, count, number


@dataclass(kw_only=True)
class SessionFaults:
    """A fault of the session strikes all clients of the login."""

    unauthorized: bool = condition(
        "Every request is answered 401", "does so once the browser login ended"
    )
    competing: bool = condition(
        "Another session of the same user holds the brokerage session",
        "lets a user have one brokerage session, on whatever platform",
    )
    competing_shown: bool = condition(
        "The status says `competing`, and all goes on", "was reported to say both at once"
    )
    session_resets: int = count(
        "Before a request, the brokerage session ends", "does so every night, and now and then"
    )
    init_fails: int = count(
        "The brokerage session is not opened, with status 200 and `authenticated: false`",
        "does so when its backend is busy",
    )
    no_bridge_ms: int = number(
        "How long after its opening a brokerage session answers `no bridge`, in milliseconds",
        "takes seconds although its status is good",
    )
    backend_down: bool = condition(
        "The brokerage session is lost and opening one is answered 503",
        "does so around 01:00 every night",
    )
    maintenance: bool = condition(
        "The login is lost, and nobody can log in; afterwards a person must",
        "is maintained every Saturday evening",
    )
    login_latched: bool = condition(
        "A login at the browser page is refused",
        "was reported to lock a user for a day after several failed logins",
    )
