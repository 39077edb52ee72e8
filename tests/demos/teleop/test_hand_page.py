"""Files of hand tracking: which of them the server sends, and what it says where they are missing."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from demos.__main__ import app
from demos.teleop import hand_page
from demos.teleop.hand_page import FILES, HandPage, unpack
from tests.demos.teleop.client import get
from tests.demos.teleop.driver import Program, program

REACH = ("LamReach-v0", "--real-time-factor", "2", "--image-size", "64")
MAKEFILE = Path(__file__).parents[3] / "Makefile"


def write_files(folder: Path) -> Path:
    """Write files with the names of the package, and one that is not to be served."""
    folder.mkdir()
    for name in (*FILES, "package.json"):
        (folder / name).write_text(f"content of {name}")
    return folder


def archive(path: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w:gz") as target:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            target.addfile(member, io.BytesIO(name.encode()))
    return path


@pytest.fixture(scope="module")
def with_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("hand")
    (folder / "secret.txt").write_text("secret")
    files = write_files(folder / "files")
    with program(*REACH, "--root", folder, "--hand-tracking", files) as running:
        yield running


@pytest.mark.parametrize("name", FILES)
def test_the_server_sends_each_file_of_the_package_with_its_type(with_hand: Program, name: str) -> None:
    status, content, headers = get(f"{with_hand.url}hand/{name}")
    assert status == 200
    assert content.decode() == f"content of {name}"
    kind = {".js": "text/javascript", ".wasm": "application/wasm"}.get(Path(name).suffix, "application/octet-stream")
    assert headers["Content-Type"] == kind
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "hand/package.json",  # in the folder, but not for the page
        "hand/",
        "hand",
        "hand/../secret.txt",
        "hand/%2e%2e/secret.txt",
        "hand/..%2fsecret.txt",
        "hand/..%2ffiles%2fhands.js",
        "hand/%2fetc%2fpasswd",
        "hand/hands.js%00",
        "hand/HANDS.JS",
        "hand/hands.js/x",
    ],
)
def test_the_server_sends_no_other_file(with_hand: Program, path: str) -> None:
    status, content, _ = get(with_hand.url + path)
    assert status == 404
    assert b"secret" not in content


def test_a_page_of_another_server_gets_no_file(with_hand: Program) -> None:
    assert get(f"{with_hand.url}hand/hands.js", **{"Sec-Fetch-Site": "cross-site"})[0] == 403


def test_the_page_may_run_webassembly_with_hand_tracking_alone(with_hand: Program, tmp_path: Path) -> None:
    own = ("hand.js", "hand_motion.js", "hand_worker.js")
    for path in ("", *own):
        status, _, headers = get(with_hand.url + path)
        assert status == 200
        assert "script-src 'self' 'wasm-unsafe-eval';" in headers["Content-Security-Policy"]
    with program(*REACH, "--root", tmp_path) as running:
        for path in ("", "page.js"):
            status, _, headers = get(running.url + path)
            assert status == 200
            assert "script-src 'self';" in headers["Content-Security-Policy"]
        for path in (*own, "hand/hands.js"):
            assert get(running.url + path)[0] == 404


def test_a_missing_folder_or_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    def refuse(folder: Path) -> str:
        arguments = ["teleop", *REACH, "--root", str(tmp_path), "--port", "0", "--hand-tracking", str(folder)]
        refused = CliRunner().invoke(app, arguments)
        assert refused.exit_code == 2
        return re.sub(r"\s+", " ", refused.stderr)

    assert "make hand-page" in refuse(tmp_path / "nowhere")
    files = write_files(tmp_path / "files")
    (files / "hands.js").unlink()
    (files / "hands.binarypb").unlink()
    shown = refuse(files)
    assert "lacks hands.js, hands.binarypb" in shown
    assert "make hand-page" in shown


def test_only_files_of_the_package_are_read(tmp_path: Path) -> None:
    page = HandPage(write_files(tmp_path / "files"))
    with pytest.raises(ValueError, match=r"unknown file 'package\.json'; expected one of hands\.js"):
        page.read("package.json")


def test_an_archive_with_another_checksum_is_refused(tmp_path: Path) -> None:
    given = archive(tmp_path / "hands.tgz", [f"package/{name}" for name in FILES])
    with pytest.raises(ValueError, match="SHA-256"):
        unpack(given, tmp_path / "files")
    assert not (tmp_path / "files").exists()


def test_the_files_of_the_package_alone_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"package/{name}" for name in FILES]
    given = archive(tmp_path / "hands.tgz", [*names, "package/../../escaped", "package/README.md"])
    monkeypatch.setattr(hand_page, "CHECKSUM", hashlib.sha256(given.read_bytes()).hexdigest())
    unpack(given, tmp_path / "files")
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == sorted(FILES)
    given = archive(tmp_path / "hands.tgz", names[1:])
    monkeypatch.setattr(hand_page, "CHECKSUM", hashlib.sha256(given.read_bytes()).hexdigest())
    with pytest.raises(ValueError, match=r"lacks package/hands\.js"):
        unpack(given, tmp_path / "others")


def test_make_downloads_the_version_whose_checksum_is_known() -> None:
    assert f" {hand_page.PACKAGE} " in MAKEFILE.read_text()
