"""An execution engine for many Interactive Brokers accounts."""
