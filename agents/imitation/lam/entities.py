"""Entities of a scene: named features become a table with one row for each robot, object, and place."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from agents.data.cameras import Shape, merge_shapes, parse_shapes
from agents.types import JsonObject
from lam_envs.observation.features import Layout

ROBOT, OBJECT, PLACE = "robot", "object", "place"
"""Kinds of entities; an entity with neither a position nor a rotation has its own name as its kind."""
ROBOT_PARTS = ("tool", "gripper", "joint")
"""Parts of names whose quantities belong to the robot."""
PRESENT, POSITION, RELATIVE, ROTATION, VELOCITY = "present", "position", "relative", "rotation", "velocity"
"""Quantities with a meaning for the model; all other quantities are numbers to it."""
MAX_ENTITIES, MAX_NUMBERS = 64, 256
"""Bounds of what a saved agent, a third party's file, may ask for."""


@dataclass(frozen=True)
class Entity:
    """Robot, object or place of a layout.

    Attributes:
        name: Name, such as ``red_cube``; ``robot`` for the robot.
        kind: Kind; entities of a kind share an encoder.
        columns: Columns of an observation that hold each quantity.
    """

    name: str
    kind: str
    columns: Mapping[str, range]


def entities_of(layout: Layout, masked_features: Collection[str] = ()) -> list[Entity]:
    """Return the entities of a layout, the robot first.

    Args:
        layout: Layout of observations.
        masked_features: Features that are left out.
    """
    quantities: dict[str, dict[str, range]] = {ROBOT: {}}
    for name, part in layout.items():
        if name in masked_features:
            continue
        owner, _, quantity = name.partition("/")
        columns = range(part.slice.start, part.slice.stop)
        if owner in ROBOT_PARTS:
            quantities[ROBOT][name] = columns
        else:
            quantities.setdefault(owner, {})[quantity] = columns
    return [Entity(name, _kind(name, held), held) for name, held in quantities.items()]


def _kind(name: str, quantities: Mapping[str, range]) -> str:
    if name == ROBOT:
        return ROBOT
    if ROTATION in quantities:
        return OBJECT
    return PLACE if {POSITION, RELATIVE} & quantities.keys() else name


def type_name(entity: str) -> str:
    """Return the word for what an entity is: ``cube`` for ``red_cube``, ``other`` for ``other_3``."""
    words = [word for word in entity.split("_") if not word.isdigit()]
    return words[-1] if words else entity


@dataclass(frozen=True)
class Schema:
    """Rows and columns of the table of entities, shared by all layouts that a model knows.

    Attributes:
        sizes: Numbers in each quantity, by kind.
        counts: Largest number of entities of each kind in one layout.
        types: Words for entities (:func:`type_name`).
        by_name: True if the kind of each entity is its own name, so that no two names share a row.
        cameras: Shapes of the images that the model sees, by camera; empty for a model without images.
        masked_features: Features that the table does not hold, such as ``tool/velocity``.
        estimated_objects: Names of the objects whose positions are estimated from images, after their task.
    """

    sizes: Mapping[str, Mapping[str, int]]
    counts: Mapping[str, int]
    types: tuple[str, ...]
    by_name: bool = False
    cameras: Mapping[str, Shape] = field(default_factory=dict)
    masked_features: tuple[str, ...] = ()
    estimated_objects: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        layouts: Iterable[Layout],
        *,
        by_name: bool = False,
        masked_features: tuple[str, ...] = (),
    ) -> Schema:
        """Return the schema of several layouts."""
        empty = cls({}, {}, (), by_name, masked_features=masked_features)
        return empty.including(layouts)

    def entities(self, layout: Layout) -> list[Entity]:
        """Return the entities of a layout with their kinds in this schema, without masked features."""
        found = entities_of(layout, self.masked_features)
        return [replace(each, kind=each.name) for each in found] if self.by_name else found

    def including(self, layouts: Iterable[Layout]) -> Schema:
        """Return a schema that also has the entities of other layouts."""
        sizes = {kind: dict(held) for kind, held in self.sizes.items()}
        counts = dict(self.counts)
        types: set[str] = set()
        for layout in layouts:
            found = self.entities(layout)
            types.update(type_name(entity.name) for entity in found)
            for entity in found:
                held = sizes.setdefault(entity.kind, {})
                for quantity, columns in entity.columns.items():
                    if quantity != PRESENT:
                        held[quantity] = max(held.get(quantity, 0), len(columns))
            kinds = [entity.kind for entity in found]
            counts.update({kind: max(counts.get(kind, 0), kinds.count(kind)) for kind in kinds})
        ordered = sorted(sizes, key=lambda kind: (kind != ROBOT, kind))
        return Schema(
            {kind: sizes[kind] for kind in ordered},
            {kind: counts[kind] for kind in ordered},
            (*self.types, *sorted(types - set(self.types))),
            self.by_name,
            self.cameras,
            self.masked_features,
            self.estimated_objects,
        )

    def with_images(self, images: Iterable[Mapping[str, Shape]]) -> Schema:
        """Return a schema that also has the images of several environments.

        Args:
            images: Shapes of images by camera; empty for an environment without images.

        Raises:
            ValueError: Two environments have images of other cameras or shapes.
        """
        cameras = dict(self.cameras)
        for shapes in images:
            cameras = merge_shapes(cameras, shapes)
        return replace(self, cameras=cameras)

    @property
    def kinds(self) -> list[str]:
        """Kind of each row."""
        return [kind for kind, count in self.counts.items() for _ in range(count)]

    @property
    def widths(self) -> dict[str, int]:
        """Numbers in a row by kind: values, and one flag for each quantity."""
        return {kind: sum(sizes.values()) + len(sizes) for kind, sizes in self.sizes.items()}

    def as_json(self) -> JsonObject:
        """Return the schema as plain data."""
        return {
            "sizes": {kind: dict(sizes) for kind, sizes in self.sizes.items()},
            "counts": dict(self.counts),
            "types": list(self.types),
            **({"by_name": True} if self.by_name else {}),
            **({"masked_features": list(self.masked_features)} if self.masked_features else {}),
            **({"estimated_objects": list(self.estimated_objects)} if self.estimated_objects else {}),
            **({"cameras": {name: list(shape) for name, shape in self.cameras.items()}} if self.cameras else {}),
        }

    @classmethod
    def from_json(cls, content: JsonObject) -> Schema:
        """Return the schema of plain data.

        Raises:
            ValueError: It is damaged, or too large.
        """
        try:
            sizes = {
                str(kind): {str(name): int(size) for name, size in held.items()}
                for kind, held in content["sizes"].items()
            }
            counts = {kind: int(content["counts"][kind]) for kind in sizes}
            types = tuple(str(word) for word in content["types"])
            cameras = parse_shapes(content.get("cameras", {}))
            masked, estimated = (
                tuple(map(str, content.get(part, ()))) for part in ("masked_features", "estimated_objects")
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"the schema of entities is damaged: {error!r}") from error
        by_name = content.get("by_name") is True
        made = cls(sizes, counts, types, by_name, cameras, masked, estimated)
        numbers = itertools.chain(counts.values(), *(held.values() for held in sizes.values()))
        if (
            ROBOT not in sizes
            or min(numbers) < 1
            or max(sum(counts.values()), len(estimated)) > MAX_ENTITIES
            or max(made.widths.values()) > MAX_NUMBERS
        ):
            raise ValueError(
                f"the schema of entities has sizes {sizes} and counts {counts}; expected a {ROBOT}, at most "
                f"{MAX_ENTITIES} entities, and at most {MAX_NUMBERS} numbers in each"
            )
        return made


@dataclass(frozen=True)
class EntityTable:
    """Entities of N observations, with S rows each.

    Attributes:
        values: Observed values and flags of the quantities, shape (N, S, largest width).
        present: True for entities that are there, shape (N, S).
        positions: Positions, meters, shape (N, S, 3); that of the tool for the robot.
        located: True for entities with a position, shape (N, S).
        velocities: Velocities, meters per second, shape (N, S, 3).
        headings: First column of their rotations, shape (N, S, 3).
        types: Number of the word for each, shape (N, S).
    """

    values: torch.Tensor
    present: torch.Tensor
    positions: torch.Tensor
    located: torch.Tensor
    velocities: torch.Tensor
    headings: torch.Tensor
    types: torch.Tensor

    def __getitem__(self, rows: torch.Tensor | slice) -> EntityTable:
        """Return some observations."""
        return EntityTable(*(part[rows] for part in vars(self).values()))

    def columns(self, kept: torch.Tensor) -> EntityTable:
        """Return some entities of each observation."""
        return EntityTable(*(part[:, kept] for part in vars(self).values()))


class EntityReader(nn.Module):
    """Layer without weights that reads the entities of one layout from observations.

    Args:
        layout: Layout of the observations.
        schema: Rows and columns of the table.
        unknown: Features of the layout that the observations do not hold: they count as absent.

    Raises:
        ValueError: The layout has an entity or a quantity that the schema does not have, or too many of a kind.

    Attributes:
        names: Name of the entity of each row; None where the layout has none.
        mentionable: Names that point from a sentence to their rows; None for rows without one. In a schema by name,
            all names are ordinary words.
        objects: Names of objects, such as ``red_cube``.
    """

    def __init__(self, layout: Layout, schema: Schema, unknown: Collection[str] = ()) -> None:
        super().__init__()
        self.names: list[str | None] = []
        found = schema.entities(layout)
        _check(found, schema)
        found = [_without(entity, unknown) for entity in found]
        width = max(schema.widths.values())
        blank = layout.size  # column of zeros that is added to observations
        rows, flags, present, types = [], [], [], []
        parts: dict[str, list[list[int]]] = {POSITION: [], VELOCITY: [], ROTATION: []}
        for kind, count in schema.counts.items():
            members = [entity for entity in found if entity.kind == kind]
            for entity in [*members, *[None] * (count - len(members))]:
                columns = {} if entity is None else entity.columns
                row, flag = [], []
                for quantity, size in schema.sizes[kind].items():
                    held = list(columns.get(quantity, ()))
                    row += held + [blank] * (size - len(held))
                    flag.append(float(bool(held)))
                start = len(row)
                rows.append(row + [blank] * (width - start))
                flags.append([0.0] * start + flag + [0.0] * (width - start - len(flag)))
                for quantity, chosen in parts.items():
                    held = list(columns.get(f"tool/{quantity}" if kind == ROBOT else quantity, ()))[:3]
                    chosen.append(held if len(held) == 3 else [blank] * 3)
                present.append(blank + 1 if entity is None else next(iter(columns.get(PRESENT, [blank + 2]))))
                types.append(0 if entity is None else 1 + schema.types.index(type_name(entity.name)))
                self.names.append(None if entity is None else entity.name)
        self.mentionable = [None] * len(self.names) if schema.by_name else self.names
        self.objects = tuple(entity.name for entity in entities_of(layout) if entity.kind == OBJECT)
        scale = np.append(
            np.repeat([part.scale for part in layout.values()], [len(p.center) for p in layout.values()]), 0.0
        )
        center = np.array([*(number for part in layout.values() for number in part.center), 0.0])
        for name, numbers in (
            ("rows", rows),
            ("present", present),
            ("types", types),
            *((quantity, chosen) for quantity, chosen in parts.items()),
        ):
            self.register_buffer(f"{name}_at", torch.tensor(numbers), persistent=False)
        self.register_buffer("flags", torch.tensor(flags), persistent=False)
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32), persistent=False)
        self.register_buffer("center", torch.tensor(center, dtype=torch.float32), persistent=False)
        # Absent, and present where the layout does not say.
        self.register_buffer("constants", torch.tensor([0.0, 0.0, 1.0]), persistent=False)
        # Where a layout has the feature, an absent entity is observed as its lowest value.
        self.register_buffer(
            "threshold", torch.tensor([0.0 if at < blank else 0.5 for at in present]), persistent=False
        )

    def forward(self, observations: torch.Tensor) -> EntityTable:
        """Return the entities of observations, shape (N, numbers)."""
        count = len(observations)
        extended = torch.cat([observations.float(), self.get_buffer("constants").expand(count, -1)], dim=1)
        physical = extended[:, :-2] * self.get_buffer("scale") + self.get_buffer("center")
        flags = self.get_buffer("flags")
        present = extended[:, self.get_buffer("present_at")] > self.get_buffer("threshold")
        located = self.get_buffer(f"{POSITION}_at")[:, 0] < observations.shape[1]
        return EntityTable(
            extended[:, self.get_buffer("rows_at")] + flags,
            present,
            physical[:, self.get_buffer(f"{POSITION}_at")],
            located & present,
            physical[:, self.get_buffer(f"{VELOCITY}_at")],
            physical[:, self.get_buffer(f"{ROTATION}_at")],
            self.get_buffer("types_at").expand(count, -1),
        )


def _without(entity: Entity, unknown: Collection[str]) -> Entity:
    """Return an entity without some features."""
    # The quantities of the robot have the full names of its features.
    prefix = "" if entity.name == ROBOT else f"{entity.name}/"
    columns = {name: held for name, held in entity.columns.items() if prefix + name not in unknown}
    return replace(entity, columns=columns)


def _check(found: Sequence[Entity], schema: Schema) -> None:
    """Check that a schema has rows and columns for entities."""
    kinds = [entity.kind for entity in found]
    for entity in found:
        if entity.kind not in schema.sizes or type_name(entity.name) not in schema.types:
            raise ValueError(
                f"the model does not know {entity.name!r}; it learned {', '.join(schema.types)}: train it on a task "
                "with such a part, or fine-tune it"
            )
        if kinds.count(entity.kind) > schema.counts[entity.kind]:
            raise ValueError(
                f"there are {kinds.count(entity.kind)} entities of the kind {entity.kind}; the model learned scenes "
                f"with at most {schema.counts[entity.kind]}: train it on a task with as many, or fine-tune it"
            )
    for entity in found:
        known = schema.sizes[entity.kind]
        for quantity, columns in entity.columns.items():
            if quantity != PRESENT and len(columns) > known.get(quantity, 0):
                name = quantity if entity.kind == ROBOT else f"{entity.name}/{quantity}"
                raise ValueError(
                    f"the model does not know the feature {name} of {len(columns)} numbers; for the kind "
                    f"{entity.kind} it learned {', '.join(known)}: train it on a task with such a feature, or "
                    "fine-tune it"
                )
