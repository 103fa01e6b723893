"""What must hold: pure machines and values, without clock, socket, file or thread."""
