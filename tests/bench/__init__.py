"""Measurements. They assert nothing: they print figures, for people to compare."""
