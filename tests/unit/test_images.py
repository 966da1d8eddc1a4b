"""What is decided about images without an engine: fingerprints, what the host lends a build, the lock file."""

import os
from pathlib import Path

import pytest

from runner.errors import ImageError
from runner.images.buildkit import (
    build,
    container_pip_conf,
    find_certificates,
    find_client,
    read_pip_settings,
)
from runner.images.debian import choose_mirror
from runner.images.definitions import IMAGES, inputs_sha256
from runner.images.lock import Lock, LockedImage, lock_path, read_lock, write_lock
from runner.resources import images_dir

LOCKED = LockedImage(
    id="sha256:1", inputs_sha256="2", layers=("sha256:3",), tools={"git": "2.39.5"}, built_at="2026-01-01"
)


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


class TestDefinitions:
    def test_parents_stand_before_their_children(self):
        seen: list[str | None] = [None]
        for definition in IMAGES:
            assert definition.parent in seen
            seen.append(definition.name)

    def test_every_image_has_a_dockerfile(self):
        assert all((images_dir() / definition.folder / "Dockerfile").is_file() for definition in IMAGES)

    def test_every_requirement_is_pinned_by_hashes(self):
        for lock in (images_dir() / "python").glob("*.lock"):
            requirements = lock.read_text().replace("\\\n", " ").splitlines()
            pins = [line for line in requirements if line and not line.lstrip().startswith("#")]
            assert pins
            assert all("==" in pin and "--hash=sha256:" in pin for pin in pins)


class TestFingerprint:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "a").write_text("one")
        return tmp_path

    def test_it_stays_for_the_same_inputs(self, folder: Path):
        before = inputs_sha256(folder, parent_id="p")
        os.utime(folder / "a", (0, 0))
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "a.pyc").write_text("compiled")
        assert inputs_sha256(folder, parent_id="p") == before

    def test_content_names_and_parent_change_it(self, folder: Path):
        prints = {inputs_sha256(folder, parent_id="p"), inputs_sha256(folder, parent_id="q")}
        (folder / "a").write_text("two")
        prints.add(inputs_sha256(folder, parent_id="p"))
        (folder / "a").rename(folder / "b")
        prints.add(inputs_sha256(folder, parent_id="p"))
        (folder / "c").write_text("")
        prints.add(inputs_sha256(folder, parent_id="p"))
        assert len(prints) == 5


class TestPipSettings:
    def test_the_environment_beats_the_files(self):
        listed = "\n".join(
            [
                ":env:.index-url='https://env.invalid/simple'",
                "global.index-url='https://global.invalid/simple'",
                "global.timeout='30'",
                "install.timeout='60'",
                "download.timeout='90'",
            ]
        )
        assert read_pip_settings(listed) == {"index-url": "https://env.invalid/simple", "timeout": "60"}

    def test_a_value_may_hold_anything(self):
        listed = """global.extra-index-url="\\nhttps://a.invalid/?x=y\\nhttps://'b'.invalid/" """.strip()
        assert read_pip_settings(listed) == {
            "extra-index-url": "\nhttps://a.invalid/?x=y\nhttps://'b'.invalid/"
        }

    def test_what_a_container_cannot_see_stays_behind(self):
        settings = {
            "index-url": "file:///srv/index",
            "extra-index-url": "https://user:100%@a.invalid/ file:///srv/more\nhttp://b.invalid/",
            "find-links": "/srv/wheels",
            "constraint": "/etc/constraints.txt",
            "cert": "/etc/ssl/host.pem",
            "trusted-host": "b.invalid",
        }
        conf = container_pip_conf(settings, certificates=True)
        assert dict(conf["global"]) == {
            "disable-pip-version-check": "true",
            "no-input": "true",
            "extra-index-url": "https://user:100%@a.invalid/\nhttp://b.invalid/",
            "trusted-host": "b.invalid",
            "cert": "/run/secrets/ca",
        }

    def test_no_certificates_no_setting(self):
        assert "cert" not in container_pip_conf({}, certificates=False)["global"]


class TestCertificates:
    def test_the_first_bundle_that_exists_is_taken(self, tmp_path: Path):
        bundle = tmp_path / "ca.pem"
        bundle.write_text("")
        env = {"PIP_CERT": str(tmp_path / "gone.pem"), "SSL_CERT_FILE": str(bundle)}
        assert find_certificates(env) == bundle


class TestClient:
    OLD = 'case "$1" in --version) echo "Docker version 20.10.24+dfsg1, build 1";; *) exit 1;; esac'
    NEW = 'case "$1" in --version) echo "Docker version 28.2.2, build 1";; *) exit 1;; esac'
    BUILDX = 'case "$1" in buildx) exit 0;; *) echo "Docker version 28.2.2, build 1";; esac'

    def test_a_client_without_buildkit_is_passed_over(self, tmp_path: Path):
        program(tmp_path / "a/docker", self.NEW)
        old = program(tmp_path / "b/docker", self.OLD)
        env = {"PATH": f"{tmp_path}/a:{tmp_path}/b"}
        assert find_client(env, beyond_path=()) == str(old)

    def test_buildx_makes_a_client_usable(self, tmp_path: Path):
        buildx = program(tmp_path / "a/docker", self.BUILDX)
        program(tmp_path / "b/docker", self.OLD)
        assert find_client({"PATH": f"{tmp_path}/a:{tmp_path}/b"}, beyond_path=()) == str(buildx)

    def test_none_is_an_error_and_never_a_plain_build(self, tmp_path: Path):
        new = program(tmp_path / "docker", self.NEW)
        with pytest.raises(ImageError) as raised:
            find_client({"PATH": str(tmp_path)}, beyond_path=())
        assert raised.value.brief == "No docker client here can build with BuildKit"
        assert raised.value.details == f"tried: {new}"
        assert "Install" in raised.value.hint


class TestBuild:
    @staticmethod
    def run_build(tmp_path: Path, script: str, **env: str) -> list[str]:
        client = program(tmp_path / "docker", script)
        said: list[str] = []
        build(
            str(client),
            tmp_path,
            base="debian:x",
            tag="t:1",
            labels={"l": "v"},
            fresh=False,
            env={"PATH": "/usr/bin:/bin", "SSL_CERT_FILE": str(client), **env},
            log=said.append,
        )
        return said

    def test_a_proxy_is_handed_on_by_name_only(self, tmp_path: Path):
        said = self.run_build(tmp_path, 'echo "$@"; echo "$https_proxy"', https_proxy="http://u:hunter2@p")
        assert "--build-arg=https_proxy" in said[0].split()
        assert "hunter2" not in said[0]
        assert said[1] == "http://u:hunter2@p"

    def test_the_secrets_are_private_files_that_go_away(self, tmp_path: Path):
        script = 'for o; do case $o in --secret=id=pipconf,src=*) f=${o#*src=};; esac; done; stat -c "%a %n" $f; cat $f'
        said = self.run_build(tmp_path, script, PIP_INDEX_URL="https://u:hunter2@index.invalid/simple")
        mode, _, conf = said[0].partition(" ")
        assert mode == "600"
        assert "index-url = https://u:hunter2@index.invalid/simple" in said
        assert not Path(conf).exists()

    def test_buildkit_is_asked_for(self, tmp_path: Path):
        assert self.run_build(tmp_path, 'echo "$DOCKER_BUILDKIT"') == ["1"]

    def test_a_failure_shows_the_end_of_the_log(self, tmp_path: Path):
        with pytest.raises(ImageError) as raised:
            self.run_build(tmp_path, "seq 100; exit 3")
        assert raised.value.brief == "Building t:1 failed"
        assert raised.value.details.splitlines()[0] == "76"
        assert raised.value.details.splitlines()[-1] == "100"


@pytest.mark.parametrize(
    ("listed", "mirror"),
    [
        ("", []),
        ("main bookworm http://m.invalid/debian/", ["http://m.invalid/debian/"]),
        ("main noble http://m.invalid/ubuntu/", []),
        ("main trixie https://m.invalid/debian", ["https://m.invalid/debian"]),
        ("main trixie http://a.invalid/debian\nmain bookworm http://b.invalid/x", ["http://b.invalid/x"]),
        ("contrib bookworm http://m.invalid/debian", []),
        ("main bookworm mirror+file:/etc/mirrors", []),
        ("main bookworm-security http://m.invalid/debian-security/", []),
        ("nonsense", []),
    ],
)
def test_the_mirror_is_one_that_has_our_debian(listed: str, mirror: list[str]):
    assert choose_mirror(listed) == mirror


class TestLock:
    def test_what_is_written_is_read(self, tmp_path: Path):
        path = tmp_path / "new" / "lock.json"
        lock = Lock(images={"runner/x:latest": LOCKED})
        write_lock(path, lock)
        assert read_lock(path) == lock
        assert list(path.parent.iterdir()) == [path]

    def test_no_file_is_an_empty_lock(self, tmp_path: Path):
        assert read_lock(tmp_path / "lock.json") == Lock()

    def test_the_same_content_leaves_the_file_alone(self, tmp_path: Path):
        path = tmp_path / "lock.json"
        write_lock(path, Lock(images={"runner/x:latest": LOCKED}))
        inode = path.stat().st_ino
        write_lock(path, Lock(images={"runner/x:latest": LOCKED}))
        assert path.stat().st_ino == inode

    @pytest.mark.parametrize(
        "damaged", ["", "{", "[]", '{"version": 2, "images": {}}', '{"version": 1, "images": {"x": {}}}']
    )
    def test_a_damaged_file_is_an_error(self, tmp_path: Path, damaged: str):
        path = tmp_path / "lock.json"
        path.write_text(damaged)
        with pytest.raises(ImageError) as raised:
            read_lock(path)
        assert raised.value.brief == "The lock file of the images can't be read"
        assert str(path) in raised.value.details
        assert raised.value.hint == "Run: runner build-images"

    def test_it_lies_beside_the_images_where_that_is_possible(self, tmp_path: Path):
        assert lock_path(tmp_path) == tmp_path / "lock.json"
        assert lock_path(tmp_path / "gone").parent.name == "runner"
