"""Draw the architecture of the agent ``lam`` as an SVG image. Run by ``make images``.

The numbers in it are those of the code, so a test fails when the image is outdated.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from html import escape

from agents.imitation.lam.geometry import RELATIONS
from agents.imitation.lam.networks.base import TRUNK
from agents.imitation.lam.networks.transformer import HEADS
from agents.imitation.lam.settings import LamSettings
from docs.images import ARCHITECTURE

WIDTH, HEIGHT = 400, 738
"""Size of the image, in units of a pixel: a phone shows it at more than 0.8 of this size."""
LEFT, RIGHT, MIDDLE = 18, 382, 200
"""Edges and center of the boxes. Lines run between the boxes and the edges of the image."""
INSET = 12
"""Distance of the texts in a box from its left edge."""
LETTER = 8.6
"""Width of a letter of the instruction, which is set in a monospaced font."""
WORDS = ("put", "the", "red cube", "in", "the", "bin")
ENTITIES = ("robot", "red cube", "slab", "bin", "drawer")
TOKENS = {"readout": 68, "instruction": 88, "entities": 70, "images": 66}
"""Width of the box of each kind of token."""
STYLE = """
    text { font: 14px system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #1b2733; }
    .note { font-size: 13px; fill: #4a5968; }
    .title { font-weight: 600; }
    .word { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
    .page { fill: #ffffff; }
    .box { fill: #f1f5f9; stroke: #8796a5; }
    .chip { fill: #ffffff; stroke: #8796a5; }
    .named { fill: #fdebc8; stroke: #b26a00; stroke-width: 1.5; }
    .executed { fill: #dcebfb; stroke: #1f6fbf; stroke-width: 1.5; }
    .line { fill: none; stroke: #5d6c7b; stroke-width: 1.5; }
    .mention { fill: none; stroke: #b26a00; stroke-width: 2; }
    .optional { stroke-dasharray: 4 3; }
    .head { fill: #5d6c7b; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .note { fill: #b3bfca; }
      .page { fill: #0d1117; }
      .box { fill: #1a222c; stroke: #75838f; }
      .chip { fill: #0d1117; stroke: #75838f; }
      .named { fill: #4a3206; stroke: #f0b429; }
      .executed { fill: #10314f; stroke: #5aa9f0; }
      .line { stroke: #93a1ae; }
      .mention { stroke: #f0b429; }
      .head { fill: #93a1ae; }
    }
"""
"""Colors for a light and a dark page; the image has a background of its own."""
TITLE = "Architecture of the agent lam, from an instruction and a scene to a chunk of actions"


def draw() -> str:
    """Return the image as SVG."""
    settings = LamSettings.model_validate({})
    parts = [*_inputs(), *_layers(settings), *_heads(), *_chunk(settings)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n<title>{TITLE}</title>\n<style>{STYLE}</style>\n'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>\n'
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _inputs() -> Iterator[str]:
    """Yield the instruction and the entities, with lines from names to entities."""
    yield from _titled(14, 88, "Instruction", ["Names become \N{BLACK CIRCLE}; one layer reads the words."])
    width, gap = 69.0, 4.75
    entities = {name: LEFT + width / 2 + number * (width + gap) for number, name in enumerate(ENTITIES)}
    at = float(LEFT + INSET)
    for word in WORDS:
        length = LETTER * len(word)
        if word in entities:
            yield _box(at - 1, 68, length + 10, 26, "named")
            yield _line(f"M{at + 4 + length / 2:g} 94L{entities[word]:g} 144", "mention")
            at += 4
        yield _text(at, 86, word, "word", length=length)
        at += length + LETTER + (4 if word in entities else 0)
    yield _text(LEFT, 127, "Entities", "title")
    yield _text(MIDDLE, 127, "mention pointers", "note", anchor="middle")
    for name, center in entities.items():
        yield _box(center - width / 2, 144, width, 28, "named" if name in WORDS else "chip")
        yield _text(center, 163, name, anchor="middle")
    for one, other in itertools.pairwise(entities.values()):
        yield _line(f"M{one:g} 172Q{(one + other) / 2:g} 194 {other:g} 172", head=False)


def _layers(settings: LamSettings) -> Iterator[str]:
    """Yield what is between the inputs and the heads."""
    yield _line(f"M{MIDDLE} 188V207")
    names = f"Relations: {RELATIONS} numbers for each pair"
    yield from _titled(208, 64, names, ["distances, directions, velocities, headings"])
    yield _line(f"M{MIDDLE} 272V293")
    title = f"Transformer: {settings.layers} layers, {HEADS} heads"
    yield from _titled(294, 100, title, [])
    yield _text(LEFT + INSET, 381, f"Tokens of {settings.width}; the readout has the robot's name.", "note")
    at = float(LEFT + INSET)
    for name, width in TOKENS.items():
        yield _box(at, 328, width, 28, "chip optional" if name == "images" else "chip")
        yield _text(at + width / 2, 347, name, anchor="middle")
        at += width + 10
    # The meaning of the instruction is one of the tokens.
    yield _line(f"M{RIGHT} 40H{RIGHT + 9}V342H{RIGHT + 1}")
    yield _line(f"M{MIDDLE} 394V415")
    title = f"MLP: 3 hidden layers of {TRUNK * settings.width}"
    yield from _titled(416, 64, title, ["readout + mean of the entities of each kind"])


def _heads() -> Iterator[str]:
    """Yield the two parts of the actions."""
    width, lefts = 177, (LEFT, RIGHT - 177)
    parts = {
        "Motion pointers": ["x and y: toward each", "entity, and across"],
        "Free part": ["all numbers of", "an action"],
    }
    for left, (title, notes) in zip(lefts, parts.items(), strict=True):
        center = left + width / 2
        yield _line(f"M{center:g} 480V501")
        yield from _titled(502, 84, title, notes, left, width)
        yield _line(f"M{center:g} 586V608H{MIDDLE}", head=False)
    # Pointers use the tokens and the positions of the entities.
    yield _line(f"M{LEFT} 342H{LEFT - 9}V544H{LEFT - 1}")
    yield _line(f"M{MIDDLE} 608V637")
    yield f'<circle class="chip" cx="{MIDDLE}" cy="608" r="9"/>'
    yield _text(MIDDLE, 613, "+", anchor="middle")


def _chunk(settings: LamSettings) -> Iterator[str]:
    """Yield the actions."""
    count, executed, gap = settings.action_horizon, settings.executed_actions, 6
    width = (RIGHT - LEFT - gap * (count - 1)) / count
    for step in range(count):
        left = LEFT + step * (width + gap)
        yield _box(left, 638, width, 28, "executed" if step < executed else "chip")
        yield _text(left + width / 2, 657, str(step + 1), anchor="middle")
    yield _text(LEFT, 692, f"Chunk of {count} actions", "title")
    yield _text(LEFT, 714, f"The first {executed} are executed; then it plans again.", "note")


def _titled(
    top: float, height: float, title: str, notes: Sequence[str], left: float = LEFT, width: float = RIGHT - LEFT
) -> Iterator[str]:
    """Yield a box with a title and lines below it."""
    yield _box(left, top, width, height)
    yield _text(left + INSET, top + 22, title, "title")
    for number, note in enumerate(notes):
        yield _text(left + INSET, top + 44 + 20 * number, note, "note")


def _box(x: float, y: float, width: float, height: float, kind: str = "box") -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"/>'


def _text(
    x: float, y: float, text: str, kind: str = "", *, anchor: str = "start", length: float | None = None
) -> str:
    fitted = "" if length is None else f' textLength="{length:g}"'
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}"{fitted}>{escape(text)}</text>'


def _line(path: str, kind: str = "line", *, head: bool = True) -> str:
    arrow = ' marker-end="url(#head)"' if head and kind == "line" else ""
    return f'<path class="{kind}" d="{path}"{arrow}/>'


def main() -> None:
    """Write the image."""
    ARCHITECTURE.write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
