"""Runs AI coding work unattended and safely."""

__version__ = "0.1.0"
