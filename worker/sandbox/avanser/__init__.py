"""The simulated AVANSER."""
