"""The tests: `unit` needs nothing, `integration` real databases and brokers, `chaos` real processes."""
