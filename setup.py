"""What setup.cfg cannot say: ``lam_envs.pth`` belongs beside the packages."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PTH = "lam_envs.pth"


class BuildWithAutoload(build_py):
    """Copies the file that registers the ids at the import of Gymnasium (see ``_lam_envs_autoload.py``)."""

    def run(self) -> None:
        """Builds the packages, then copies."""
        super().run()
        if not self.editable_mode:
            shutil.copy(Path(__file__).with_name(PTH), Path(self.build_lib) / PTH)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Lists the copy too."""
        copied = [] if self.editable_mode else [str(Path(self.build_lib) / PTH)]
        return [*super().get_outputs(include_bytecode), *copied]


setup(cmdclass={"build_py": BuildWithAutoload})
