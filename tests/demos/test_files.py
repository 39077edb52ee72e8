"""A fingerprint of code changes when, and only when, what the code does may change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from demos.files import code_fingerprint

CODE = '''"""What it is."""

LIMIT = 3
"""Most that count."""


def limited(number: int) -> str:
    """Says it."""
    # In words.
    return f"at most {min(number, LIMIT)}"
'''


@pytest.fixture
def fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "counted").mkdir()
    (tmp_path / "counted" / "__init__.py").write_text("")

    def take(code: str, settings: str = "limit: 3\n") -> str:
        (tmp_path / "counted" / "limits.py").write_text(code)
        (tmp_path / "counted" / "limits.yaml").write_text(settings)
        return code_fingerprint("counted")

    return take


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# In words.", "# In other words."),
        ("    # In words.\n", ""),
        ('"""Says it."""', '"""Says\n\n    it."""'),
        ('"""Most that count."""\n', ""),
        ('"""What it is."""\n', ""),
        ("LIMIT = 3", "LIMIT = 3  # and no more"),
        ("LIMIT = 3", "LIMIT=3"),
    ],
)
def test_comments_and_docstrings_do_not_count(fingerprint: Callable[..., str], old: str, new: str) -> None:
    assert CODE.count(old) == 1
    assert fingerprint(CODE.replace(old, new)) == fingerprint(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("at most", "at  most"),
        ("min(number, LIMIT)", "max(number, LIMIT)"),
        ("    return f", "    if number:\n        return f"),
        ('    """Says it."""', '    print("Says it.")'),
    ],
)
def test_everything_else_counts(fingerprint: Callable[..., str], old: str, new: str) -> None:
    assert fingerprint(CODE.replace(old, new)) != fingerprint(CODE)


def test_settings_count(fingerprint: Callable[..., str]) -> None:
    assert fingerprint(CODE, "limit: 4\n") != fingerprint(CODE)


def test_a_module_without_source_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'nowhere_to_be_found'"):
        code_fingerprint("nowhere_to_be_found")
