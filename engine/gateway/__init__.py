"""How the engine reaches the broker's gateway."""
