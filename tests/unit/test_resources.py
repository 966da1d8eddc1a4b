import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runner.errors import UnusableError
from runner.resources import config_dir, images_dir, resource, schema_dir, templates_dir

CHECKOUT = Path(__file__).parents[2]


def test_in_a_checkout_the_files_beside_the_package_are_used() -> None:
    found = [config_dir(), images_dir(), schema_dir(), templates_dir()]
    assert found == [CHECKOUT / name for name in ("config", "images", "schema", "templates")]
    assert resource("config/runner.toml").is_file()


def test_a_missing_file_says_that_the_installation_is_incomplete() -> None:
    with pytest.raises(UnusableError) as caught:
        resource("config/none.toml")
    assert caught.value.brief == "The installation of runner is incomplete"
    assert caught.value.details == f"{CHECKOUT / 'config/none.toml'} is missing."
    assert caught.value.hint == "Install runner again."


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not on the PATH; ./justw brings it")
def test_a_wheel_carries_every_file_and_finds_its_own(tmp_path: Path) -> None:
    uv = ["uv", "--quiet"]
    subprocess.run([*uv, "build", "--wheel", "--out-dir", tmp_path / "dist", CHECKOUT], check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    subprocess.run([*uv, "pip", "install", "--no-deps", "--target", tmp_path / "site", wheel], check=True)

    shipped = ["config/runner.toml", "config/tool_profiles.json", "schema/tool_profiles.schema.json"]
    shipped += ["images/base/Dockerfile", "templates"]
    code = f"from runner.resources import resource\nfor name in {shipped}: print(resource(name))"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    packed = tmp_path / "site/runner/_resources"
    assert told.stdout.splitlines() == [str(packed / name) for name in shipped]
