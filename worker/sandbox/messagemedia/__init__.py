"""The simulated MessageMedia."""
