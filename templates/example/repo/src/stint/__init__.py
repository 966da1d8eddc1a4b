"""Sums up working hours kept in a plain text file."""

__version__ = "0.4.0"
