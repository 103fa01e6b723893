import asyncio

from tests.api.fake_engine import serving


def test_sessions_are_listed() -> None:
    async def scene() -> None:
        async with serving() as client:
            assert await client.ask("GET", "/v1/sessions") == (
                200,
                {
                    "sessions": [
                        {
                            "name": "main",
                            "state": "READY",
                            "reason": None,
                            "accounts": ["DU1234567"],
                            "gateway": "https://127.0.0.1:5000",
                            "epoch": 3,
                            "since": "2025-11-22T12:00:00.123456Z",
                            "socket_connected": True,
                            "last_heartbeat_age_ms": 250,
                        }
                    ]
                },
            )

    asyncio.run(scene())
