"""The composition root: from settings and a repository to a run."""
