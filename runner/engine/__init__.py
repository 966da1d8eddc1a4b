"""The loop that decides: one thread asks the core what comes next, persists it, and hands jobs to workers."""
