"""Which handler serves which path, and what it needs first.

Rule: patterns are compared segment by segment; a segment in braces matches any
one segment and hands it over by its name. Fixed segments win over braces
because they are listed first.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from engine.sim.answers import Answer, Call
from engine.sim.session import Tier
from engine.sim.world import World

Handler = Callable[[World, Call], Answer]
_Places = tuple[tuple[int, str], ...]

GET: Final = ("GET",)
POST: Final = ("POST",)
DELETE: Final = ("DELETE",)
GET_OR_POST: Final = ("GET", "POST")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path of the API.

    `is_order_request` marks what invalidates an open question; `per_ms` is the
    shortest time between `burst` calls and the next, 0 for no limit of its own;
    `concurrent_max` is how many may be under way at once, 0 for any number.
    """

    methods: tuple[str, ...]
    pattern: str
    handler: Handler
    tier: Tier = Tier.LOGIN
    is_order_request: bool = False
    per_ms: int = 0
    concurrent_max: int = 0
    burst: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A route found for a path, and the segments its braces matched."""

    route: Route
    parts: Mapping[str, str]


class Router:
    """All routes of the API."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        # By the number of segments: a path is compared with those only that it could match.
        self._by_length: dict[int, list[tuple[_Places, _Places, Route]]] = {}
        for route in self.routes:
            pattern = tuple(enumerate(route.pattern.strip("/").split("/")))
            names = tuple((place, name.strip("{}")) for place, name in pattern if name[:1] == "{")
            fixed = tuple((place, text) for place, text in pattern if text[:1] != "{")
            self._by_length.setdefault(len(pattern), []).append((fixed, names, route))

    def match(self, method: str, path: str) -> Match | None:
        """The first route for this method and path, None when there is none."""
        segments = path.strip("/").split("/")
        for fixed, names, route in self._by_length.get(len(segments), ()):
            if method not in route.methods:
                continue
            for place, text in fixed:
                if segments[place] != text:
                    break
            else:
                return Match(route=route, parts={name: segments[place] for place, name in names})
        return None
