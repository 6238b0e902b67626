"""The simulated Telmetrics."""
