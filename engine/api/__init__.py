"""How a client asks: the HTTP API, its token, its events and the metrics listener."""
