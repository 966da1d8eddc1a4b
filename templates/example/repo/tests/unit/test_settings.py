import pytest

from stint.errors import StintError
from stint.settings import Settings, load_settings


def test_without_a_file_the_defaults_hold(tmp_path):
    assert load_settings(tmp_path / "stint.toml") == Settings()


def test_clients_have_full_names(tmp_path):
    path = tmp_path / "stint.toml"
    path.write_text('[clients]\nacme = "ACME Audits Ltd."\n', encoding="utf-8")

    settings = load_settings(path)

    assert settings.full_name("acme") == "ACME Audits Ltd."
    assert settings.full_name("bakery") == "bakery"


def test_an_unknown_key_is_named(tmp_path):
    path = tmp_path / "stint.toml"
    path.write_text("[customers]\n", encoding="utf-8")

    with pytest.raises(StintError, match="unknown key 'customers'"):
        load_settings(path)
