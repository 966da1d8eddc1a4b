"""The AI coding tools that a bundle may name."""

from collections.abc import Callable, Mapping

from runner.agent.aider import Aider
from runner.config.settings import ModelSettings
from runner.ports import Agent


def _aider(model: ModelSettings) -> Agent:
    return Aider(
        max_input_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        temperature=model.temperature,
        # The scope gate judges what was changed, and tells the agent why something was refused.
        unlisted="allow",
    )


AGENTS: Mapping[str, Callable[[ModelSettings], Agent]] = {"aider": _aider}
