"""What was measured is measured again when any code that decides it is another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import agents.agent
from benchmarks import addresses
from benchmarks.addresses import versions_of

FILES = {
    "loose_agent.py": "import loose_helper\n\ndef act(observation):\n    return loose_helper.ACTION\n",
    "loose_helper.py": "ACTION = 1\n",
    "boxed/__init__.py": "",
    "boxed/acting.py": "from . import deciding\n\ndef act(observation):\n    return deciding.ACTION\n",
    "boxed/deciding.py": "from boxed.deep.down import ACTION\n",
    "boxed/deep/__init__.py": "",
    "boxed/deep/down.py": "ACTION = 1\n",
}


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module and a package of somebody else's."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("boxed", "loose_agent", "loose_helper")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def version(agent: str) -> str:
    addresses._fingerprint.cache_clear()  # as in another process
    return versions_of(agent, "LamReach-v0")["agent"]


@pytest.mark.parametrize(
    ("agent", "helper"), [("loose_agent:act", "loose_helper.py"), ("boxed.acting:act", "boxed/deep/down.py")]
)
def test_what_a_strangers_agent_imports_counts(agent: str, helper: str, strangers: Path) -> None:
    before = version(agent)
    assert version(agent) == before
    (strangers / "beside.py").write_text("ACTION = 2\n")
    assert version(agent) == before
    (strangers / helper).write_text("ACTION = 2\n")
    assert version(agent) != before


def test_an_agent_that_a_package_names_counts_with_its_code(strangers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Named:
        name, value = "mine", "boxed.acting:act"

    def installed() -> Any:
        yield Named()

    monkeypatch.setattr(agents.agent, "_installed", installed)
    assert agents.agent.find("mine")(None) == 1
    assert version("mine") == version("boxed.acting:act")
    before = version("mine")
    (strangers / "boxed" / "deciding.py").write_text("ACTION = 3\n")
    assert version("mine") != before


def test_compiled_code_counts_by_its_bytes(strangers: Path) -> None:
    import py_compile

    (strangers / "source.py").write_text("def act(observation):\n    return 1\n")
    py_compile.compile(str(strangers / "source.py"), cfile=str(strangers / "compiled.pyc"))
    before = version("compiled:act")
    (strangers / "source.py").write_text("def act(observation):\n    return 2\n")
    py_compile.compile(str(strangers / "source.py"), cfile=str(strangers / "compiled.pyc"))
    assert version("compiled:act") != before


def test_our_agents_have_no_version_of_their_own_beside_that_of_the_code() -> None:
    assert "agent" not in versions_of("bc", "LamReach-v0")
    assert "agent" not in versions_of("random", "LamReach-v0")
