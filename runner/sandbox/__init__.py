"""Sealed containers, one for each command, over a workstream's checkout."""
