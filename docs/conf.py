"""Settings of Sphinx, which ``docs/website.py`` calls."""

from __future__ import annotations

from lam_envs import __version__

project = "lam-envs"
author = "The lam-envs authors"
project_copyright = author
release = version = __version__
language = "en"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
smartquotes = False  # options such as --help stay as they are
default_role = "code"  # docstrings write code in single backticks

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes are fields of their class, and no entries of the index

html_theme = "furo"
html_title = "lam-envs"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
