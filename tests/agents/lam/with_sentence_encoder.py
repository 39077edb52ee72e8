"""Cases of known sentences, compared by all-MiniLM-L6-v2; run where it is installed, by test_known_sentences.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents
import demos
from agents.deployment.export.lam import LamGraph
from agents.deployment.talk.conversation import Conversation
from agents.imitation.lam.agent import Lam
from agents.imitation.lam.known_sentences import KnownSentences, MatchedSentence, without_names
from agents.imitation.lam.language import NAME_MARK, parse
from agents.imitation.lam.saved_model import read_model
from agents.policies.encoders.sentences import _token_embeddings, encoder_record, is_reversed, most_similar
from agents.training.run import Run
from agents.training.saving.storage import WEIGHTS
from lam_envs.observation.instructions import SPLITS
from lam_envs.tasks.table.commands import INSTRUCTIONS

from ...conftest import Make
from ..test_runs import Fragile, KilledError
from .scenes import SMALL, observations_of
from .test_agent import Noted, learned, weights

MATCH: dict[str, Any] = {"match_sentences": True}
NAMES = ("red_cube", "slab")


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return demos.collect("LamTable-v0", episodes=4, seed=600000, root=tmp_path_factory.mktemp("table"))


@pytest.fixture
def both(datasets: Any) -> list[Any]:
    root, ids = datasets
    return [demos.load(ids[env_id], root) for env_id in ("LamReach-v0", "LamGrasp-v0")]


@pytest.fixture
def agent(make: Make) -> Lam:
    made: Lam = agents.make("lam", make("LamTable-v0", instruct=True), **SMALL, **MATCH)
    return made


def known_of(agent: Lam) -> KnownSentences:
    """Return the known sentences of an agent."""
    known = agent.policy.network.known_sentences
    assert known is not None
    return known


def marked(*texts: str) -> list[str]:
    """Return sentences with the mark of a name in place of the word "item"."""
    return [text.replace("item", NAME_MARK) for text in texts]


def template(text: str) -> str:
    """Return a sentence about the objects of :data:`NAMES` without their names."""
    return without_names(parse(text, NAMES))


def test_a_similarity_does_not_depend_on_other_sentences() -> None:
    others = ["lift the object", "open the drawer by its handle"]
    number, similarity = most_similar("hoist the object", others)
    assert number == 0
    _token_embeddings.cache_clear()
    assert most_similar("hoist the object", others[::-1]) == (1, similarity)
    assert most_similar("hoist the object", ["hoist the object"])[1] == pytest.approx(1.0, abs=1e-5)


def test_only_names_of_objects_are_left_out_of_known_sentences(agent: Lam) -> None:
    objects = agent.policy.reader.objects
    assert "red_cube" in objects
    assert "drawer" not in objects
    for text, expected in (
        ("put the red cube in the bin", "put the item in the bin"),
        ("Put the blue cube in the bin.", "put the item in the bin"),
        ("push the slab to the white square", "push the item to the white square"),
    ):
        assert [without_names(parse(text, objects))] == marked(expected)


def test_an_unknown_sentence_is_replaced_by_the_most_similar_known_one_with_as_many_names() -> None:
    known = KnownSentences()
    (hoist,) = marked("hoist the item")
    assert known.match(hoist, "table") == (hoist, 1.0)
    known.extend(
        "table", marked("lift the item", "stack the item on the item", "open the drawer", "close the drawer")
    )
    known.extend("table", [*marked("lift the item"), ""])
    texts = marked("close the drawer", "lift the item", "open the drawer", "stack the item on the item")
    assert sorted(known.for_task("table")) == sorted(texts)
    for text, expected in (
        ("hoist the item", "lift the item"),
        ("lift the item above the item", "stack the item on the item"),
        ("slide the drawer outward", "open the drawer"),
    ):
        found, similarity = known.match(marked(text)[0], "table")
        assert [found] == marked(expected)
        assert 0.2 < similarity < 1.0
    assert known.match("", "table") == ("", 1.0)


def test_the_replacement_has_the_names_of_the_instruction() -> None:
    known = KnownSentences()
    known.extend("table", marked("lift the item", "place the item left of the item"))
    assert known.match_instruction("Lift the red cube!", NAMES, "table") == MatchedSentence("Lift the red cube!", 1.0)
    assert known.match_instruction("hoist the red cube", NAMES, "table").text == "lift the red cube"
    for text in ("let the slab have the red cube as its left neighbor", "deposit the red cube leftward of the slab"):
        assert known.match_instruction(text, NAMES, "table").text == "place the red cube left of the slab"


def test_an_instruction_that_mentions_more_or_fewer_objects_than_all_known_ones_stays_as_it_is() -> None:
    known = KnownSentences()
    known.extend("table", marked("lift the item", "open the drawer"))
    for text in ("hoist the red cube above the slab", "put the slab on the red cube", "???", "   "):
        assert known.match_instruction(text, NAMES, "table") == MatchedSentence(text, 1.0)
    # The word that stands for names is not a name itself.
    assert known.match_instruction("extend the item drawer", NAMES, "table").text == "open the drawer"


def test_damaged_rows_of_a_saved_model_are_ignored() -> None:
    known = KnownSentences()
    known.extend("table", marked("lift the item"))
    for row, content in enumerate((b"table", b"table\t\xff\xfe", b"table\t \t", b"\t", b"\xff"), start=1):
        known.texts[row, : len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    assert known.task_sentences() == [("table", marked("lift the item")[0])]
    assert known.match_instruction("hoist the red cube", NAMES, "table").text == "lift the red cube"


def test_known_sentences_that_are_too_long_or_too_many_are_left_out() -> None:
    known = KnownSentences()
    count, size = known.texts.shape
    longest = "x" * (size - len("table\t"))
    known.extend("table", [longest, longest + "x"])
    assert known.task_sentences() == [("table", longest)]
    known.extend("drawer", (f"pull {number} times" for number in range(count + 5)))
    assert len(known.task_sentences()) == count


def test_an_instruction_is_matched_only_with_sentences_of_its_task_if_there_are_any() -> None:
    known = KnownSentences()
    known.extend("drawer", ["open the drawer", "open the drawer by its handle"])
    known.extend("table", [*marked("lift the item"), "open the drawer"])
    assert known.match("open the drawer by its handle", "drawer") == ("open the drawer by its handle", 1.0)
    assert known.match("open the drawer by its handle", "table")[0] == "open the drawer"
    assert known.for_task("reach") == ["open the drawer", "open the drawer by its handle", *marked("lift the item")]


def test_most_sentences_with_unknown_words_are_replaced_by_one_of_their_verb() -> None:
    filled = {
        split: [
            (verb, template(text.format(x="the red cube", y="the slab", side=verb)))
            for verb, templates in INSTRUCTIONS.items()
            if verb not in ("side", "square")
            for text in templates.split(split)
        ]
        for split in SPLITS
    }
    known = KnownSentences()
    known.extend("table", (text for _, text in filled["train"]))
    verb_of = {text: verb for verb, text in filled["train"]}
    shares = {
        split: np.mean([verb_of[known.match(text, "table")[0]] == verb for verb, text in found])
        for split, found in filled.items()
    }
    assert shares["train"] == shares["known-words"] == 1.0
    assert shares["held-out"] >= 0.9


def test_in_every_paraphrase_the_moved_object_comes_first_in_the_replacement() -> None:
    known = KnownSentences()
    templates = {"left": INSTRUCTIONS["side"], "right": INSTRUCTIONS["side"]}
    templates |= {verb: INSTRUCTIONS[verb] for verb in ("push", "stack")}
    for split in SPLITS:
        for verb, each in templates.items():
            for text in each.split(split):
                filled = text.format(x="the red cube", y="the slab", side=verb)
                if split == "train":
                    known.extend("table", [template(filled)])
                understood = known.match_instruction(filled, NAMES, "table").text
                assert understood.index("red cube") < understood.index("slab"), text


def test_objects_are_swapped_only_if_the_meaning_requires_it() -> None:
    left = "place the item left of the item"
    assert is_reversed("let the item have the item as its left neighbor", left, "item")
    assert not is_reversed("deposit the item leftward of the item", left, "item")


def encoded(sentence: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(sentence.encode().ljust(128, b"\0"), dtype=np.uint8).copy()


def test_a_training_learns_the_same_weights_with_and_without_the_encoder(table: Any, make: Make) -> None:
    env = make("LamTable-v0", instruct=True)
    before = torch.get_rng_state()
    agent = learned(env, table, **MATCH)
    assert torch.equal(torch.get_rng_state(), before)
    plain = learned(env, table).policy.network.state_dict()
    found = agent.policy.network.state_dict()
    assert set(found) - set(plain) == {"known_sentences.texts"}
    assert all(torch.equal(found[name], values) for name, values in plain.items())


def test_the_policy_acts_as_for_the_known_sentence(table: Any, make: Make) -> None:
    env = make("LamTable-v0", instruct=True)
    agent = learned(env, table, **MATCH)
    policy = agent.policy
    known_of(agent).extend("table", ["open the drawer"])
    seen = env.reset(seed=0)[0]
    actions = {
        text: agent.predict({**seen, "instruction": encoded(text)})[0]
        for text in ("open the drawer", "slide the drawer outward", "lift the red cube")
    }
    assert policy.match_instruction("slide the drawer outward").text == "open the drawer"
    np.testing.assert_array_equal(actions["open the drawer"], actions["slide the drawer outward"])
    assert not np.allclose(actions["open the drawer"], actions["lift the red cube"], atol=1e-4)
    words = [word for word, _ in policy.word_attention({**seen, "instruction": encoded("slide the drawer outward")})]
    assert words == ["open", "the", "drawer"]


def test_a_killed_training_resumes_with_the_same_weights(both: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    settings = {"epochs": 4, "ema_decay": 0.9, **MATCH}
    whole = weights(learned(env, both, budget=4, **settings))
    with pytest.raises(KilledError):
        learned(env, both, budget=4, run=Fragile(tmp_path, seconds=0.0), **settings)
    assert weights(learned(env, both, budget=4, run=Run(tmp_path, seconds=0.0), **settings)) == whole


def test_two_processes_give_the_losses_of_one(both: Any, make: Make) -> None:
    env = make("LamReach-v0")
    one, two = Noted(), Noted(processes=2)
    for run in (one, two):
        learned(env, both, budget=3, run=run, batches=5, **MATCH)
    np.testing.assert_allclose(two.numbers["loss"], one.numbers["loss"], atol=1e-3)


@pytest.mark.parametrize("network", ["transformer", "mlp"])
def test_a_saved_agent_records_the_encoder_without_its_weights(
    network: str, table: Any, make: Make, tmp_path: Path
) -> None:
    env = make("LamTable-v0", instruct=True)
    agent = learned(env, table, network=network, **MATCH)
    folder = agent.save(tmp_path / "lam")
    assert (folder / WEIGHTS).stat().st_size < 2e6
    description = json.loads((folder / "agent.json").read_text())
    assert description["model"]["sentence_encoder"] == encoder_record()
    assert len(encoder_record()["sha256"]) == 64
    loaded = agents.load(folder, env)
    assert known_of(loaded).task_sentences() == known_of(agent).task_sentences() != []
    seen = observations_of(env, range(3))
    np.testing.assert_array_equal(loaded.predict(seen)[0], agent.predict(seen)[0])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"sha256": "0" * 64}, "SHA-256 0{64}.*install the version that it was trained with"),
        (None, "the record of its sentence encoder is None; expected package, version, sha256"),
    ],
)
def test_an_agent_of_another_encoder_is_refused(record: Any, message: str, agent: Lam, tmp_path: Path) -> None:
    folder = agent.save(tmp_path / "lam")
    path = folder / "agent.json"
    description = json.loads(path.read_text())
    model = description["model"]
    model["sentence_encoder"] = record and {**model["sentence_encoder"], **record}
    path.write_text(json.dumps(description))
    with pytest.raises(ValueError, match=message):
        read_model("lam", folder)


def test_a_finetuned_model_keeps_the_sentences_that_it_knew(
    table: Any, both: Any, make: Make, tmp_path: Path
) -> None:
    env, grasp = make("LamTable-v0", instruct=True), make("LamGrasp-v0", instruct=True)
    agent = learned(env, table, **MATCH)
    folder = agent.save(tmp_path / "lam")
    with pytest.raises(ValueError, match="has match_sentences=True; settings cannot change it to False"):
        Lam.finetune(folder, both[1], grasp, seed=1, match_sentences=False)
    tuned = Lam.finetune(folder, both[1], grasp, replay=[table], seed=1, budget=1, learning_rate=1e-12)
    loaded = agents.load(tuned.save(tmp_path / "tuned"), env)
    before, after = known_of(agent).task_sentences(), known_of(loaded).task_sentences()
    assert after[: len(before)] == before
    assert set(after) > set(before)


def test_a_sentence_is_compared_once(agent: Lam, make: Make) -> None:
    env = make("LamTable-v0", instruct=True, paraphrases="held-out")
    known_of(agent).extend("table", marked("lift the item", "open the drawer"))
    observation, _ = env.reset(seed=3)
    _token_embeddings.cache_clear()
    action, state = agent.predict(observation)
    compared = _token_embeddings.cache_info()
    assert compared.misses > 0
    for _ in range(8):
        observation = env.step(action)[0]
        action, state = agent.predict(observation, state)
    assert _token_embeddings.cache_info() == compared


def test_the_export_is_refused_only_with_instructions(agent: Lam, make: Make) -> None:
    with pytest.raises(ValueError, match="match_sentences=true cannot be exported for an environment with"):
        LamGraph(agent.observation_space, agent.action_space, agent.policy)
    plain = agents.make("lam", make("LamReach-v0"), **SMALL, **MATCH)
    graph = LamGraph(plain.observation_space, plain.action_space, plain.policy)
    assert [port.name for port in graph.observations] == ["observation"]


def test_a_conversation_reports_the_known_sentence_that_replaces_an_instruction(agent: Lam, make: Make) -> None:
    policy = agent.policy
    known_of(agent).extend("table", marked("lift the item", "open the drawer", "put the item in the bin"))
    policy.network.sentences.extend([policy.parsed("lift the red cube")])
    conversation = Conversation(policy, make("LamTable-v0", instruct=True), seed=0)
    cube = next(name for name in conversation.objects if name.endswith("cube"))
    answers = [each.text for each in conversation.answers(f"hoist the {cube}")]
    assert len(answers) == 1
    assert answers[0].startswith(f"Interpreted as: lift the {cube} (similarity 0.")
    assert conversation.answers(f"lift the {cube}") == []


def test_images_without_positions_of_objects_are_refused(make: Make) -> None:
    env = make("LamTablePixels-v0", instruct=True)
    with pytest.raises(ValueError, match=r"match_sentences needs names of objects, .* set find_objects=true"):
        agents.make("lam", env, **SMALL, **MATCH)
    agents.make("lam", env, **SMALL, **MATCH, find_objects=True)
