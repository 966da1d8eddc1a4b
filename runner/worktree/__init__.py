"""Checkouts of workstreams, and the commits that are made of what sandboxes leave behind."""
