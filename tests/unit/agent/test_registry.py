import pytest

from runner.agent.registry import make_agents
from runner.config.settings import ModelSettings
from runner.core.model import ToolProfile
from runner.errors import ConfigError
from runner.profiles import load_profiles
from runner.resources import config_dir

MODEL = ModelSettings()


def test_every_shipped_agent_has_an_adapter():
    profiles = load_profiles(config_dir() / "tool_profiles.json")
    agents = make_agents(profiles, MODEL)
    assert set(agents) == {name for name, profile in profiles.items() if profile.type == "ai"} != set()
    assert all(agent.name == name for name, agent in agents.items())


def test_an_agent_without_an_adapter_is_a_mistake_in_the_configuration():
    profile = ToolProfile(id="coder", type="ai", command="coder", parser="coderx")
    with pytest.raises(ConfigError, match="coder has no adapter") as caught:
        make_agents({"coder": profile}, MODEL)
    assert "for an agent there is aider" in (caught.value.details or "")
