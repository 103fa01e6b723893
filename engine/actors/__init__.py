"""Who acts, and when: thin shells around the machines of `engine.domain`."""
