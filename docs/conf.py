"""Settings of Sphinx, which ``docs/website.py`` calls."""

from __future__ import annotations

from lam_envs import __version__

project = "lam-envs"
author = "The lam-envs authors"
project_copyright = author
release = version = __version__
language = "en-GB"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3

html_theme = "furo"
html_title = "lam-envs"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
