"""Commands of Table: verbs, objects and targets, their names and their sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lam_envs.observation import Command, Instructions
from lam_envs.validation import unknown_name

VERBS = ("lift", "left", "right", "bin", "drawer", "push", "stack", "open", "close")
LIFT, LEFT, RIGHT, BIN, DRAWER, PUSH, STACK, OPEN, CLOSE = range(len(VERBS))
"""First number of a command."""
COLORS = {
    "red": (0.85, 0.15, 0.12),
    "green": (0.1, 0.6, 0.2),
    "blue": (0.12, 0.3, 0.85),
    "yellow": (0.95, 0.8, 0.1),
    "purple": (0.5, 0.15, 0.65),
}
CUBES = tuple(f"{color}_cube" for color in COLORS)
"""Names of the cubes; an episode has three to five of them."""
SLAB, SQUARE = "slab", "square"
OBJECTS = (*CUBES, SLAB)
"""Objects that a command moves: the second number of a command."""
TARGETS = (*OBJECTS, SQUARE)
"""Objects and places that a command names: the third number of a command."""

INSTRUCTIONS = {
    "lift": Instructions(
        train=(
            "lift {x}",
            "pick up {x}",
            "raise {x}",
            "grasp {x} and lift it",
            "take {x} and hold it up",
            "lift {x} off the table",
        ),
        held_out=("hoist {x}", "elevate {x} and keep hold of it", "get {x} into the air"),
        known_words=(
            "grasp {x} and raise it",
            "pick {x} up off the table",
            "take {x} and lift it up",
        ),
    ),
    "side": Instructions(
        train=(
            "put {x} to the {side} of {y}",
            "place {x} to the {side} of {y}",
            "place {x} {side} of {y}",
            "move {x} to the {side} side of {y}",
            "set {x} down on the {side} of {y}",
            "pick up {x} and put it to the {side} of {y}",
        ),
        held_out=(
            "deposit {x} {side}ward of {y}",
            "arrange {x} {side} from {y}",
            "let {y} have {x} as its {side} neighbor",
        ),
        known_words=(
            "take {x} and set it down to the {side} of {y}",
            "grasp {x} and place it {side} of {y}",
            "set {x} down on the {side} side of {y}",
        ),
    ),
    "bin": Instructions(
        train=(
            "put {x} in the bin",
            "place {x} in the bin",
            "drop {x} into the bin",
            "move {x} into the bin",
            "pick up {x} and put it in the bin",
            "take {x} to the bin and release it there",
        ),
        held_out=("throw {x} away", "dispose of {x}", "toss {x} out as garbage"),
        known_words=(
            "take {x} and drop it in the bin",
            "grasp {x} and place it in the bin",
            "set {x} down in the bin",
        ),
    ),
    "drawer": Instructions(
        train=(
            "put {x} in the drawer",
            "place {x} in the drawer",
            "drop {x} into the drawer",
            "move {x} into the drawer",
            "pick up {x} and put it in the drawer",
            "put {x} into the drawer and release it there",
        ),
        held_out=("store {x} inside the compartment", "stow {x} in the furniture", "tuck {x} away with the contents"),
        known_words=(
            "grasp {x} and place it in the drawer",
            "take {x} to the drawer and drop it there",
            "set {x} down in the drawer",
        ),
    ),
    "push": Instructions(
        train=(
            "push {x} to {y}",
            "push {x} next to {y}",
            "slide {x} to {y}",
            "push {x} along the table to {y}",
            "move {x} to {y} by pushing it",
            "push {x} until it is next to {y}",
        ),
        held_out=("bring {x} near {y}", "nudge {x} close to {y}", "drive {x} toward {y}"),
        known_words=(
            "slide {x} next to {y}",
            "slide {x} along the table to {y}",
            "push {x} on the table until it is next to {y}",
        ),
    ),
    "square": Instructions(
        train=(
            "push {x} to {y}",
            "push {x} onto {y}",
            "slide {x} to {y}",
            "push {x} along the table to {y}",
            "move {x} to {y} by pushing it",
            "push {x} until it is on {y}",
        ),
        held_out=("bring {x} over {y}", "nudge {x} until it covers {y}", "drive {x} toward {y}"),
        known_words=(
            "slide {x} onto {y}",
            "push {x} along the table until it is on {y}",
            "move {x} onto {y} by pushing it",
        ),
    ),
    "stack": Instructions(
        train=(
            "stack {x} on {y}",
            "put {x} on {y}",
            "place {x} on top of {y}",
            "set {x} on top of {y}",
            "pick up {x} and put it on {y}",
            "put {x} on top of {y} and release it",
        ),
        held_out=("balance {x} atop {y}", "build a tower of {x} above {y}", "pile {x} and {y}, the latter below"),
        known_words=(
            "pick up {x} and stack it on {y}",
            "set {x} down on top of {y}",
            "take {x} and place it on top of {y}",
        ),
    ),
    "open": Instructions(
        train=(
            "open the drawer",
            "pull the drawer open",
            "open the drawer by its handle",
            "pull out the drawer",
            "pull the drawer toward the robot",
            "grasp the handle and open the drawer",
        ),
        held_out=("extend the compartment fully", "draw it out as far as possible", "expose what lies behind"),
        known_words=(
            "pull the drawer out by its handle",
            "grasp the handle and pull the drawer open",
            "pull the drawer open by its handle",
        ),
    ),
    "close": Instructions(
        train=(
            "close the drawer",
            "push the drawer shut",
            "close the drawer by its handle",
            "push in the drawer",
            "push the drawer into the cabinet",
            "grasp the handle and close the drawer",
        ),
        held_out=("retract the compartment fully", "seal it up again", "return it all the way inside"),
        known_words=(
            "push the drawer shut by its handle",
            "push the drawer in",
            "grasp the handle and push the drawer shut",
        ),
    ),
}


def all_commands() -> list[Command]:
    """Return all commands. Numbers that a verb does not use are 0."""
    slab, square = OBJECTS.index(SLAB), TARGETS.index(SQUARE)
    cubes = range(len(CUBES))
    found: list[Command] = []
    for verb in range(len(VERBS)):
        if verb in (LIFT, BIN, DRAWER):
            found += [(verb, cube, 0) for cube in cubes]
        elif verb in (LEFT, RIGHT):
            found += [(verb, cube, other) for cube in cubes for other in (*cubes, slab) if other != cube]
        elif verb == PUSH:
            found += [
                (verb, one, other) for one in (*cubes, slab) for other in (*cubes, slab, square) if other != one
            ]
        elif verb == STACK:
            found += [(verb, cube, other) for cube in cubes for other in cubes if other != cube]
        else:
            found.append((verb, 0, 0))
    return found


def names_of(command: Command) -> tuple[str | None, str | None]:
    """Return the names of the moved object and of the target; None if the verb has none."""
    verb, one, other = command
    if verb in (OPEN, CLOSE):
        return None, None
    return OBJECTS[one], TARGETS[other] if verb in (LEFT, RIGHT, PUSH, STACK) else None


def command_name(command: Command) -> str:
    """Return the name of a command for the keyword ``commands``, such as ``"stack red_cube blue_cube"``."""
    return " ".join([VERBS[command[0]], *(name for name in names_of(command) if name is not None)])


def chosen_commands(names: object, without: object = ()) -> list[Command]:
    """Return the commands of the keywords ``commands`` and ``without``.

    Args:
        names: Verbs, and names of commands such as ``"lift red_cube"``; None for all commands.
        without: Verbs and names of commands to leave out.

    Raises:
        ValueError: A name is unknown, no command is left, or a value is not a sequence of names.
    """
    chosen = set(all_commands()) if names is None else _named("commands", names)
    left = sorted(chosen - _named("without", without))
    if not left:
        raise ValueError(f"commands is {names!r} and without {without!r}; expected a verb or command that is left")
    return left


def _named(keyword: str, names: object) -> set[Command]:
    """Return the commands that the value of a keyword names."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ValueError(f"{keyword} is {names!r}; expected a list of verbs or commands, such as ['lift', 'open']")
    by_name = {command_name(command): command for command in all_commands()}
    found: set[Command] = set()
    for name in names:
        if name in VERBS:
            found.update(command for command in by_name.values() if VERBS[command[0]] == name)
        elif isinstance(name, str) and name in by_name:
            found.add(by_name[name])
        else:
            raise ValueError(f"{keyword}: {unknown_name('command', name, [*VERBS, *by_name])}")
    return found


def instructions_for(command: Command) -> Instructions:
    """Return the sentences that ask for a command."""
    verb = VERBS[command[0]]
    one, other = names_of(command)
    words = {"x": phrase(one), "y": phrase(other), "side": verb}
    if verb in ("left", "right"):
        return INSTRUCTIONS["side"].fill(**words)
    return INSTRUCTIONS[SQUARE if other == SQUARE else verb].fill(**words)


def phrase(name: str | None) -> str:
    """Return the words for an object or a place."""
    if name is None:
        return ""
    return "the white square" if name == SQUARE else f"the {name.replace('_', ' ')}"


def by_verb(commands: Sequence[Command]) -> dict[int, list[Command]]:
    """Return the commands of each verb."""
    found: dict[int, list[Command]] = {}
    for command in commands:
        found.setdefault(command[0], []).append(command)
    return found
