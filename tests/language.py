"""Language check of ``make lint``: the rules for names, docstrings, messages and documents that a program can check.

Usage: python -m tests.language [FILE_OR_FOLDER ...]
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKED = (
    "lam_envs",
    "demos",
    "agents",
    "benchmarks",
    "docs",
    "examples",
    "README.md",
    "CONTRIBUTING.md",
    "zoo/README.md",
)
GENERATED = ("docs/environments.md",)
WORDS = {
    r"films?|filmed|filming": "video, record",
    r"pictures?": "image",
    r"anew": "again",
    r"strangers?": "third party",
    r"shov(e|es|ed|ing)": "push",
    r"rehears\w*": "BC regularization",
    r"practis\w*": "train, rollout",
    r"told|tells": "given, reports, specifies",
    r"judg(e|es|ed|ing|ement)": "evaluate",
    r"(a|the|its|each|this|that|our|every) clones?": "BC policy",
    r"from nothing": "from scratch",
    r"manners?": "strategy",
    r"blindfold": "mask",
    r"made again|of other code|of this code": "outdated, re-run, up to date",
    r"(standard|normal|random|optim|minim|maxim|general|initial|priorit|recogn|organ|serial|summar|visual|vector|regular)"
    r"is(e|es|ed|ing|ation|ations|er)": "American spelling: -ize",
    r"behaviou?ral cloning": "behavior cloning",
    r"(behavi|col|neighb|fav)ours?(s|ed|ing|ite|able)?|centres?|labell(ed|ing)|modell(ed|ing)": "American spelling",
}
"""Pattern of whole words that the project does not use, and what to write in their place."""
ALLOWED = {
    ("benchmarks/suite/conditions.py", "shoves"),  # name of a version in recorded results
}
FIRST_WORDS = ("What", "Whether", "How", "Where")
"""Words that a docstring does not begin with: it begins with a verb or a noun phrase."""
ENTRY = re.compile(r"^\s+[\w*`., ]+: Of\b", re.MULTILINE)
PATTERNS = {re.compile(rf"\b({words})\b", re.IGNORECASE): better for words, better in WORDS.items()}


def problems(path: Path) -> Iterator[str]:
    """Yield the problems of a file, each with its place."""
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
    text = path.read_text(encoding="utf-8")
    for line, part in _python_parts(text) if path.suffix == ".py" else enumerate(text.splitlines(), start=1):
        for pattern, better in PATTERNS.items():
            for found in pattern.finditer(part):
                if (name, found[0]) not in ALLOWED:
                    yield f"{name}:{line + part[: found.start()].count(chr(10))}: {found[0]!r}; write: {better}"
    if path.suffix == ".py":
        yield from _docstring_problems(name, ast.parse(text))


def _python_parts(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each string, comment and name; words of a name are separated by spaces."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            yield token.start[0], token.string
        elif token.type == tokenize.NAME:
            yield token.start[0], re.sub(r"(?<=[a-z])(?=[A-Z])", " ", token.string).replace("_", " ")


def _docstring_problems(name: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        texts = []
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            texts.append((node.body[0].lineno if node.body else 1, ast.get_docstring(node) or ""))
            texts += [(each.lineno, value) for each in node.body for value in _attribute_docstring(each)]
        for line, text in texts:
            if text.split(" ")[0].rstrip(",") in FIRST_WORDS:
                yield f"{name}:{line}: begins with {text.split(' ')[0]!r}; begin with a verb or a noun phrase"
            for found in ENTRY.finditer(text):
                yield f"{name}:{line}: {found[0].strip()!r}; say what the argument does or is"


def _attribute_docstring(node: ast.stmt) -> list[str]:
    """Return the text of a string that stands alone, as after an attribute."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return [node.value.value]
    return []


def files(places: Iterable[str]) -> Iterator[Path]:
    """Yield the files to check."""
    for place in places:
        path = ROOT / place
        if path.is_file():
            yield path
        elif path.is_dir():
            found = (file for file in sorted(path.rglob("*")) if file.suffix in (".py", ".md", ".jinja", ".yaml"))
            yield from (file for file in found if file.relative_to(ROOT).as_posix() not in GENERATED)


def main(places: list[str]) -> int:
    """Print all problems; return 1 if there are any."""
    found = [problem for path in files(places or CHECKED) for problem in problems(path)]
    print("\n".join(found))  # noqa: T201  (the output of a check)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
