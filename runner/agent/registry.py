"""The AI coding tools that a bundle may name: a tool profile, and the adapter that reads what its tool tells."""

from collections.abc import Callable, Mapping

from runner.agent.aider import Aider
from runner.config.settings import ModelSettings
from runner.core.model import ToolProfile
from runner.errors import ConfigError
from runner.ports import Agent


def make_agents(profiles: Mapping[str, ToolProfile], model: ModelSettings) -> dict[str, Agent]:
    """An agent for each profile of type `ai`. Raises ConfigError for a parser that no adapter has."""
    return {name: _agent(profile, model) for name, profile in profiles.items() if profile.type == "ai"}


def _agent(profile: ToolProfile, model: ModelSettings) -> Agent:
    try:
        return ADAPTERS[profile.parser](profile, model)
    except KeyError:
        raise ConfigError(
            f"The tool profile {profile.id} has no adapter",
            details=f"its parser is '{profile.parser}'; for an agent there is {', '.join(ADAPTERS)}",
        ) from None


def _aider(profile: ToolProfile, model: ModelSettings) -> Agent:
    return Aider(
        argv=(profile.command, *profile.args),
        env=profile.env,
        max_input_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        temperature=model.temperature,
        # The scope gate judges what was changed, and tells the agent why something was refused.
        unlisted="allow",
    )


ADAPTERS: Mapping[str, Callable[[ToolProfile, ModelSettings], Agent]] = {"aider": _aider}
