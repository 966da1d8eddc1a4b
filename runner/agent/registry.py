"""The AI coding tools that a bundle may name."""

from collections.abc import Callable, Mapping

from runner.agent.aider import Aider
from runner.ports import Agent

AGENTS: Mapping[str, Callable[[], Agent]] = {"aider": Aider}
