"""Named features become a table of entities, whatever the task; parts that a model does not know are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.imitation.lam.entities import EntityReader, Schema, entities_of, type_name

from ...conftest import Make
from .scenes import things_layout


def test_entities_have_a_kind_by_what_is_known_of_them(make: Make) -> None:
    env: Any = make("LamTable-v0")
    kinds = {entity.name: entity.kind for entity in entities_of(env.unwrapped.layout)}
    assert kinds["robot"] == "robot"
    assert kinds["red_cube"] == kinds["slab"] == "object"
    assert kinds["bin"] == kinds["handle"] == "place"
    assert kinds["drawer"] == "drawer"
    assert kinds["cabinet"] == "cabinet"
    assert [type_name(name) for name in ("red_cube", "other_3", "slab")] == ["cube", "other", "slab"]


def test_a_table_holds_the_observed_values_and_the_physical_geometry(make: Make) -> None:
    env: Any = make("LamStack-v0")
    layout = env.unwrapped.layout
    schema = Schema.of([layout, make("LamDrawer-v0").unwrapped.layout])  # type: ignore[attr-defined]
    reader = EntityReader(layout, schema)
    observation = env.reset(seed=0)[0]
    table = reader(torch.from_numpy(observation[None]))
    features, row = layout.decode(observation), reader.names.index("base")
    np.testing.assert_allclose(table.positions[0, row], features["base/position"], atol=1e-6)
    np.testing.assert_allclose(table.positions[0, 0], features["tool/position"], atol=1e-6)
    np.testing.assert_allclose(table.headings[0, row], features["base/rotation"][:3], atol=1e-6)
    held = schema.sizes["object"]
    assert list(held) == ["position", "relative", "rotation", "velocity", "angular_velocity"]
    np.testing.assert_array_equal(table.values[0, row, :3], observation[layout["base/position"].slice])
    assert table.values[0, row, sum(held.values()) : schema.widths["object"]].tolist() == [1.0] * len(held)
    absent = [number for number, name in enumerate(reader.names) if name is None]
    assert table.present[0].tolist() == [number not in absent for number in range(len(reader.names))]
    assert not table.values[0, absent].any()
    # Its features are relative alone: it has no position.
    assert not table.located[0, reader.names.index("goal")]


def test_an_entity_is_there_if_its_feature_reports_it() -> None:
    layout = things_layout("red_cube", "blue_cube")
    reader = EntityReader(layout, Schema.of([layout]))
    observed = layout.encode([0.0] * 3 + [1.0, *[0.1] * 12] + [0.0, *[0.1] * 12])
    table = reader(torch.from_numpy(observed[None]))
    assert table.present.tolist() == [[True, True, False]]
    assert table.located.tolist() == [[True, True, False]]


def test_masked_features_are_not_in_the_table(make: Make) -> None:
    env: Any = make("LamGrasp-v0")
    layout = env.unwrapped.layout
    schema = Schema.of([layout], masked_features=("tool/velocity", "object/velocity"))
    assert "tool/velocity" not in schema.sizes["robot"]
    assert "tool/lag" in schema.sizes["robot"]
    assert "velocity" not in schema.sizes["object"]
    assert Schema.from_json(schema.as_json()) == schema
    observation = torch.ones(1, layout.size)
    assert EntityReader(layout, Schema.of([layout]))(observation).velocities.any()
    assert not EntityReader(layout, schema)(observation).velocities.any()


def test_parts_that_a_model_does_not_know_are_named() -> None:
    known = Schema.of([things_layout("red_cube")])
    EntityReader(things_layout("green_cube"), known)
    with pytest.raises(ValueError, match="does not know 'slab'; it learned cube, robot: train it on a task"):
        EntityReader(things_layout("slab"), known)
    with pytest.raises(
        ValueError, match=r"2 entities of the kind object; the model learned scenes with at most 1: .* fine-tune it"
    ):
        EntityReader(things_layout("green_cube", "blue_cube"), known)
    smaller = Schema({**known.sizes, "object": {"position": 3}}, known.counts, known.types)
    with pytest.raises(
        ValueError, match="does not know the feature green_cube/rotation of 6 numbers; for the kind object"
    ):
        EntityReader(things_layout("green_cube"), smaller)


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": 3},
        {"sizes": {"object": {"position": 3}}},
        {"counts": {"robot": 0, "object": 1}},
        {"counts": {"robot": 1, "object": 10**9}},
        {"counts": {"robot": 1, "object": float("inf")}},
        {"sizes": {"robot": {"tool/position": float("inf")}, "object": {"position": 3}}},
        {"sizes": {"robot": {"tool/position": 10**9}, "object": {"position": 3}}},
        {"types": 7},
        {"masked_features": 3},
    ],
)
def test_a_damaged_schema_is_refused(change: dict[str, Any]) -> None:
    schema = Schema.of([things_layout("red_cube")])
    content = schema.as_json()
    assert Schema.from_json(content) == schema
    with pytest.raises(ValueError, match="the schema of entities"):
        Schema.from_json({**content, **change})
