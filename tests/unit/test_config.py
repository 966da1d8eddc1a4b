import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from runner.config import leaves, load_settings, model_key
from runner.config.settings import ModelSettings, Settings
from runner.core.model import BreakerLimits, Limits, Timeouts
from runner.errors import ConfigError
from runner.resources import resource

DEFAULTS = dict(leaves(Settings()))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    path = tmp_path / "installed.toml"
    path.write_text("")
    return path


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "repo/.runner").mkdir(parents=True)
    return tmp_path / "repo"


def own_file(repo: Path) -> Path:
    return repo / ".runner/config.toml"


def problems_of(**layers: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(**{"repo": None, "env": {}, **layers})
    return caught.value.details.splitlines()


def test_nothing_set_gives_the_defaults_and_says_so() -> None:
    resolved = load_settings(repo=None, env={})
    assert resolved.settings.model_dump() == Settings().model_dump()
    assert dict(resolved.origins) == dict.fromkeys(DEFAULTS, "default")


def test_a_stronger_layer_wins_and_a_weaker_one_keeps_what_it_alone_sets(installed: Path, repo: Path) -> None:
    given_in = {
        "installation": "parallel = 11\nplan = 'a'\ninfra_retries = 12\n",
        "target": "parallel = 21\nplan = 'b'\n",
    }
    installed.write_text("[run]\n" + given_in["installation"] + "[limits]\npids = 13\n")
    own_file(repo).write_text("[run]\n" + given_in["target"] + "[limits]\nmemory_mb = 23\n")
    env = {"RUNNER_RUN__PARALLEL": "31", "RUNNER_LIMITS__CPUS": "3.5"}
    resolved = load_settings(repo=repo, env=env, flags={"run.parallel": 41}, installed=installed)

    assert (resolved.settings.run.parallel, resolved.settings.run.plan) == (41, repo / "b")
    assert resolved.settings.run.infra_retries == 12
    limits = resolved.settings.limits
    assert (limits.pids, limits.memory_mb, limits.cpus) == (13, 23, 3.5)
    set_here = {key: origin for key, origin in resolved.origins.items() if origin != "default"}
    assert set_here == {
        "run.parallel": "flag --parallel",
        "run.plan": str(own_file(repo)),
        "run.infra_retries": str(installed),
        "limits.pids": str(installed),
        "limits.memory_mb": str(own_file(repo)),
        "limits.cpus": "environment RUNNER_LIMITS__CPUS",
    }


@pytest.mark.parametrize("strongest", [0, 1, 2, 3])
def test_each_layer_beats_all_the_weaker_ones(strongest: int, installed: Path, repo: Path) -> None:
    values = [10, 20, 30, 40][: strongest + 1] + [None] * (3 - strongest)
    installed.write_text(f"[run]\nparallel = {values[0]}\n")
    own_file(repo).write_text(f"[run]\nparallel = {values[1]}\n" if values[1] else "")
    env = {"RUNNER_RUN__PARALLEL": str(values[2] or "")}
    resolved = load_settings(repo=repo, env=env, flags={"run.parallel": values[3]}, installed=installed)
    assert resolved.settings.run.parallel == values[strongest]


def test_a_flag_that_was_not_given_overrides_nothing() -> None:
    env = {"RUNNER_RUN__PARALLEL": "7"}
    resolved = load_settings(repo=None, env=env, flags={"run.parallel": None})
    assert resolved.settings.run.parallel == 7


def test_an_empty_environment_value_is_as_good_as_none(repo: Path) -> None:
    own_file(repo).write_text("[model]\nname = 'm'\n")
    resolved = load_settings(repo=repo, env={"RUNNER_MODEL__NAME": "", "RUNNER_MODEL__API_KEY": ""})
    assert (resolved.settings.model.name, resolved.settings.model.api_key) == ("m", None)
    assert resolved.origins["model.name"] == str(own_file(repo))


def test_an_empty_value_in_a_file_unsets_what_a_weaker_layer_set(installed: Path, repo: Path) -> None:
    installed.write_text("[model]\nname = 'm'\n")
    own_file(repo).write_text("[model]\nname = ''\n")
    assert load_settings(repo=repo, env={}, installed=installed).settings.model.name is None


def test_names_of_the_ci_machine_are_left_alone() -> None:
    env = {
        "RUNNER_OS": "Linux",
        "RUNNER_TEMP": "/tmp",
        "RUNNER_TOOL_CACHE": "/opt",
        "RUNNER_MODEL": '{"name": "x"}',
        "RUNNER": "1",
        "GITHUB_RUNNER__X": "1",
    }
    assert set(load_settings(repo=None, env=env).origins.values()) == {"default"}


def test_every_problem_of_every_layer_is_told_in_one_go(installed: Path, repo: Path) -> None:
    installed.write_text("[run]\nparalel = 3\n")
    own_file(repo).write_text("[run]\nparallel = 0\n[modle]\nname = 'x'\nurl = 'y'\n[zzz]\n")
    env = {"RUNNER_MODEL__NAEM": "x", "RUNNER_TIMEOUT__EDIT_S": "3", "RUNNER_LIMITS__CPUS": "two"}
    found = problems_of(repo=repo, env=env, flags={"model.base_url": "example.com"}, installed=installed)
    own = own_file(repo)
    assert sorted(found) == sorted(
        [
            f"{installed}: there is no setting run.paralel; did you mean run.parallel?",
            f"{own}: run.parallel = 0 should be greater than or equal to 1",
            f"{own}: there is no setting modle.name; did you mean model.name?",
            f"{own}: there is no setting modle.url; did you mean model.base_url?",
            f"{own}: there is no setting zzz",
            "environment RUNNER_MODEL__NAEM: there is no setting model.naem; did you mean model.name?",
            "environment RUNNER_TIMEOUT__EDIT_S: there is no setting timeout.edit_s; did you mean timeouts.edit_s?",
            "environment RUNNER_LIMITS__CPUS: limits.cpus = 'two' should be a valid number, unable to parse string as a number",
            "flag --base-url: model.base_url = 'example.com' should be a URL such as https://api.example.com/v1",
        ]
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[run]\nparallel = = 3\n", "Invalid value (at line 2, column 12)"),
        (
            b"[run]\nplan = '\xff'\n",
            "'utf-8' codec can't decode byte 0xff in position 14: invalid start byte",
        ),
    ],
)
def test_a_file_that_is_not_toml_is_named_with_the_place(content: bytes, told: str, repo: Path) -> None:
    own_file(repo).write_bytes(content)
    assert problems_of(repo=repo) == [f"{own_file(repo)}: {told}"]


def test_a_scalar_where_a_section_belongs_is_told_without_its_value(repo: Path) -> None:
    own_file(repo).write_text("model = 'sk-oops'\n")
    assert problems_of(repo=repo) == [f"{own_file(repo)}: model should be a table"]


@pytest.mark.parametrize(
    "text",
    [
        "[model]\napi_key = ['sk-oops']",
        "[model]\napi_key = {x = 'sk-oops'}",
        "[model]\napi_kye = 'sk-oops'",
        "[model]\nbase_url = 'https://user:sk-oops@example.com'",
        "[modle]\napi_key = 'sk-oops'",
    ],
)
def test_no_message_shows_a_key(text: str, repo: Path) -> None:
    own_file(repo).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(repo=repo, env={})
    assert "sk-oops" not in f"{caught.value}{caught.value.details}{caught.value.hint}"


def test_a_key_is_masked_however_settings_are_printed() -> None:
    settings = load_settings(repo=None, env={"RUNNER_MODEL__API_KEY": "sk-oops"}).settings
    assert "sk-oops" not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeouts.edit_s", float("inf")),
        ("timeouts.edit_s", float("nan")),
        ("timeouts.edit_s", 0),
        ("limits.cpus", -1),
        ("limits.memory_mb", 1.5),
        ("model.base_url", "ftp://example.com"),
        ("model.base_url", "https://"),
        ("model.temperature", 2.1),
        ("model.retries", -1),
        ("agent.author_name", "a <b>"),
        ("agent.author_email", "a\nTrailer: b"),
        ("images.verify", "maybe"),
    ],
)
def test_an_illegal_value_is_refused(key: str, value: object) -> None:
    (problem,) = problems_of(flags={key: value})
    assert key in problem


def test_the_endpoint_is_kept_without_a_slash_at_its_end() -> None:
    assert ModelSettings(base_url="http://localhost:1/v1/").base_url == "http://localhost:1/v1"


def test_relative_paths_start_at_the_repository_and_absolute_ones_stay(repo: Path) -> None:
    env = {"RUNNER_MODEL__API_KEY_FILE": "keys/model", "RUNNER_PATHS__TOOL_PROFILES": "/etc/profiles.json"}
    settings = load_settings(repo=repo, env=env).settings
    assert settings.model.api_key_file == repo / "keys/model"
    assert settings.paths.tool_profiles == Path("/etc/profiles.json")
    assert settings.paths.state == repo / ".runner"
    assert settings.run.plan == repo / "workstreams"


def test_defaults_convert_to_the_defaults_of_the_model() -> None:
    settings = Settings()
    assert settings.limits.to_model() == Limits()
    assert settings.timeouts.to_model() == Timeouts()
    assert settings.breaker.to_model() == BreakerLimits()
    assert settings.agent.author == "Aider via runner <noreply@runner.invalid>"


def test_mebibytes_become_bytes() -> None:
    env = {"RUNNER_LIMITS__OUTPUT_MB": "3", "RUNNER_LIMITS__FILE_MB": "5"}
    limits = load_settings(repo=None, env=env).settings.limits.to_model()
    assert (limits.output_bytes, limits.file_bytes) == (3 * 2**20, 5 * 2**20)


NAME_PARTS = st.sampled_from(
    ["model", "MODEL", "name", "run", "parallel", "x", "", "_", "\u0130", "_env_file", "."]
)
NAMES = st.lists(NAME_PARTS, max_size=4).map(lambda parts: "RUNNER_" + "__".join(parts))


@given(st.dictionaries(NAMES, st.text(max_size=5), max_size=4))
def test_any_environment_gives_settings_or_a_config_error(env: dict[str, str]) -> None:
    with suppress(ConfigError):
        load_settings(repo=None, env=env)


class TestModelKey:
    def test_there_need_not_be_one(self) -> None:
        assert model_key(Settings()) is None

    @pytest.mark.parametrize("text", ["sk-1", "sk-1\n", "  sk-1\r\n"])
    def test_it_is_taken_from_its_file_without_the_line_break(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(text)
        settings = Settings(model=ModelSettings(api_key_file=tmp_path / "key"))
        assert model_key(settings) == SecretStr("sk-1")

    def test_one_given_directly_spares_the_file(self, tmp_path: Path) -> None:
        model = ModelSettings(api_key=SecretStr("sk-2"), api_key_file=tmp_path / "missing")
        assert model_key(Settings(model=model)) == SecretStr("sk-2")

    @pytest.mark.parametrize("text", [b"", b"\n", b"two words", b"a\nb", "clé".encode(), b"\xff\xfe"])
    def test_a_file_without_a_usable_key_is_an_error_that_shows_nothing_of_it(
        self, text: bytes, tmp_path: Path
    ) -> None:
        path = tmp_path / "key"
        path.write_bytes(text)
        with pytest.raises(ConfigError) as caught:
            model_key(Settings(model=ModelSettings(api_key_file=path)))
        assert "words" not in caught.value.details

    def test_a_missing_file_is_an_error_that_says_what_to_do(self, tmp_path: Path) -> None:
        model = ModelSettings(api_key_file=tmp_path / "missing")
        with pytest.raises(ConfigError) as caught:
            model_key(Settings(model=model))
        assert caught.value.brief == "The model's key cannot be read"
        assert caught.value.details == (
            f"model.api_key_file: [Errno 2] No such file or directory: '{tmp_path / 'missing'}'"
        )
        assert caught.value.hint == "Name a readable file that holds the key, or set RUNNER_MODEL__API_KEY."


class TestShippedFile:
    text = resource("config/runner.toml").read_text()
    uncommented = re.sub(r"(?m)^#(?=\w+ = )", "", text)

    def test_it_sets_nothing(self) -> None:
        assert not any(tomllib.loads(self.text).values())

    def test_it_lists_every_setting_with_its_default(self, installed: Path) -> None:
        installed.write_text(self.uncommented)
        resolved = load_settings(repo=None, env={}, installed=installed)
        assert set(resolved.origins.values()) == {str(installed)}
        assert resolved.settings.model_dump() == Settings().model_dump()

    def test_it_explains_every_setting_as_the_code_does(self) -> None:
        for name, section in Settings.model_fields.items():
            fields = section.annotation.model_fields  # type: ignore[union-attr]
            for key, field in fields.items():
                block = self.text.partition(f"\n[{name}]\n")[2].partition("\n[")[0]
                assert f"\n# {field.description}\n#{key} = " in block
