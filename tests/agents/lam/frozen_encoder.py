"""Cases of the frozen sentence encoder minilm; run where it is installed, by test_sentence_encoder.py."""

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
from agents.imitation.lam.language import FrozenSentences, parse, plain_text
from agents.imitation.lam.mixture import read_source
from agents.imitation.lam.networks.batch import unknown_words
from agents.imitation.lam.saved_model import read_model
from agents.policies.encoders.sentences import EMBEDDING, _embedding, embed, encoder_record
from agents.training.run import Run
from agents.training.saving.storage import WEIGHTS
from lam_envs.observation.instructions import SPLITS
from lam_envs.tasks.table.commands import INSTRUCTIONS

from ...conftest import Make
from ..test_runs import Fragile, KilledError
from .scenes import SMALL, observations_of
from .test_agent import Noted, learned, weights

MINILM: dict[str, Any] = {"sentence_encoder": "minilm"}


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return demos.collect("LamTable-v0", episodes=4, seed=600000, root=tmp_path_factory.mktemp("table"))


@pytest.fixture
def both(datasets: Any) -> list[Any]:
    root, ids = datasets
    return [demos.load(ids[env_id], root) for env_id in ("LamReach-v0", "LamGrasp-v0")]


@pytest.fixture
def agent(make: Make) -> Lam:
    made: Lam = agents.make("lam", make("LamTable-v0", instruct=True), **SMALL, **MINILM)
    return made


def test_an_embedding_does_not_depend_on_other_sentences() -> None:
    sentences = ["lift the object", "open the drawer by its handle", "", "hoist the object"]
    together = embed(sentences)
    assert together.shape == (4, EMBEDDING)
    assert torch.equal(together[2], torch.zeros(EMBEDDING))
    _embedding.cache_clear()
    for row, sentence in reversed(list(enumerate(sentences))):
        assert torch.equal(embed([sentence])[0], together[row])
    lengths = together[[0, 1, 3]].norm(dim=1)
    assert torch.allclose(lengths, torch.ones(3), atol=1e-4)


def test_other_words_for_the_same_are_closer_than_another_verb() -> None:
    lift, hoist, close = embed(["lift the object", "hoist the object", "close the drawer"])
    assert float(lift @ hoist) > float(lift @ close) + 0.2


def test_sentences_of_a_verb_are_alike_and_those_of_another_are_not() -> None:
    texts = {
        verb: [text.format(x="the object", y="the object", side=verb) for text in templates.train]
        for verb, templates in INSTRUCTIONS.items()
    }
    found = {verb: embed(sentences) for verb, sentences in texts.items()}
    same = np.mean([float((each @ each.T).mean()) for each in found.values()])
    other = np.mean([float((one @ two.T).mean()) for a, one in found.items() for b, two in found.items() if a != b])
    assert same > other + 0.2


def test_only_names_of_objects_are_replaced_and_refer_to_entities(agent: Lam) -> None:
    policy = agent.policy
    red, blue = (policy.parsed(f"put the {color} cube in the bin") for color in ("red", "blue"))
    assert plain_text(red) == plain_text(blue) == "put the item in the bin"
    assert plain_text(policy.parsed("push the slab to the white square")) == "push the item to the white square"
    pointing = {policy.reader.names[row] for row, at in enumerate(red.mentions) if at >= 0}
    assert pointing == {"red_cube"}
    first, second, drawer = (
        policy.tokens(f"put the {name}".encode())[0]
        for name in ("red cube in the bin", "blue cube in the bin", "red cube in the drawer")
    )
    assert torch.equal(first, second)
    assert not torch.allclose(first, drawer, atol=0.1)


def test_the_order_of_names_distinguishes_mentions() -> None:
    encoder = FrozenSentences(8).eval()
    names = ["red_cube", "blue_cube", "slab"]
    parsed = [parse(f"stack the {a} cube on the {b} cube", names) for a, b in (("red", "blue"), ("blue", "red"))]
    inputs = encoder.inputs(parsed)
    assert torch.equal(inputs[0], inputs[1])
    _, mentions = encoder.encode(inputs, torch.tensor([0, 1]), torch.tensor([each.mentions for each in parsed]))
    assert torch.equal(mentions[0, 0], mentions[1, 1])
    assert torch.equal(mentions[0, 1], mentions[1, 0])
    assert not torch.equal(mentions[0, 0], mentions[0, 1])


def test_an_unknown_sentence_is_replaced_by_the_most_similar_known_one_with_as_many_names(agent: Lam) -> None:
    policy, sentences = agent.policy, agent.policy.network.sentences
    assert isinstance(sentences, FrozenSentences)
    assert sentences.match(policy.parsed("hoist the red cube")) == ("hoist the item", 1.0)
    known = ["lift the red cube", "stack the red cube on the slab", "open the drawer", "close the drawer"]
    sentences.extend(map(policy.parsed, known))
    sentences.extend([policy.parsed("lift the blue cube")])
    assert sentences.known == ["close the drawer", "lift the item", "open the drawer", "stack the item on the item"]
    for text, expected in (
        ("hoist the green cube", "lift the item"),
        ("lift the green cube above the blue cube", "stack the item on the item"),
        ("slide the drawer outward", "open the drawer"),
    ):
        found, similarity = sentences.match(policy.parsed(text))
        assert found == expected
        assert 0.2 < similarity < 1.0
        assert torch.equal(sentences.inputs([policy.parsed(text)])[0], embed([expected])[0] * EMBEDDING**0.5)
    assert sentences.match(policy.parsed("lift the purple cube")) == ("lift the item", 1.0)
    assert sentences.match(policy.parsed("")) == ("", 1.0)


def test_most_sentences_with_unknown_words_are_replaced_by_one_of_their_verb() -> None:
    names = ["red_cube", "slab"]
    filled = {
        split: [
            (verb, parse(text.format(x="the red cube", y="the slab", side=verb), names))
            for verb, templates in INSTRUCTIONS.items()
            if verb not in ("side", "square")
            for text in templates.split(split)
        ]
        for split in SPLITS
    }
    encoder = FrozenSentences(8)
    encoder.extend(parsed for _, parsed in filled["train"])
    verb_of = {plain_text(parsed): verb for verb, parsed in filled["train"]}
    shares = {
        split: np.mean([verb_of[encoder.match(parsed)[0]] == verb for verb, parsed in found])
        for split, found in filled.items()
    }
    assert shares["train"] == shares["known-words"] == 1.0
    assert shares["held-out"] >= 0.9


def test_a_sentence_that_names_the_target_first_exchanges_the_mentions() -> None:
    encoder = FrozenSentences(8)
    names = ["red_cube", "slab"]

    def mentions(text: str) -> tuple[int, ...]:
        return encoder.mentions(parse(text, names))

    assert mentions("let the slab have the red cube as its left neighbor") == (5, 2)
    encoder.extend([parse(f"place the red cube {side} of the slab", names) for side in ("left", "right")])
    for side in ("left", "right"):
        assert mentions(f"let the slab have the red cube as its {side} neighbor") == (2, 5)
        assert mentions(f"on the {side} of the slab is where the red cube belongs")[0] < 6
        assert mentions(f"place the red cube {side} of the slab") == (2, 6)
        assert mentions(f"deposit the red cube {side}ward of the slab") == (2, 6)
    assert mentions("hoist the slab") == (-1, 2)


def test_in_every_paraphrase_the_moved_object_is_known() -> None:
    names = ["red_cube", "slab"]
    encoder = FrozenSentences(8)
    templates = {"left": INSTRUCTIONS["side"], "right": INSTRUCTIONS["side"]}
    templates |= {verb: INSTRUCTIONS[verb] for verb in ("push", "stack")}
    for split in SPLITS:
        for verb, each in templates.items():
            for text in each.split(split):
                parsed = parse(text.format(x="the red cube", y="the slab", side=verb), names)
                if split == "train":
                    encoder.extend([parsed])
                moved, target = encoder.mentions(parsed)
                assert moved < target, text


def test_training_hides_no_words_of_embedded_sentences(agent: Lam, make: Make) -> None:
    observation = make("LamTable-v0", instruct=True).reset(seed=0)[0]
    batch = agent.policy.batch_of(
        {name: torch.from_numpy(value[None]) for name, value in observation.items()}, torch.ones(1, dtype=torch.bool)
    )
    assert unknown_words(batch, 0.25) is batch


def encoded(sentence: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(sentence.encode().ljust(128, b"\0"), dtype=np.uint8).copy()


def test_the_same_seed_learns_the_same_weights_and_the_instruction_matters(table: Any, make: Make) -> None:
    env = make("LamTable-v0", instruct=True)
    _embedding.cache_clear()
    before = torch.get_rng_state()
    agent = learned(env, table, **MINILM)
    assert torch.equal(torch.get_rng_state(), before)
    assert weights(learned(env, table, **MINILM)) == weights(agent)
    observation = env.reset(seed=0)[0]
    one, other = (
        agent.predict({**observation, "instruction": encoded(text)})[0] for text in ("open the drawer", "shut it")
    )
    assert not np.allclose(one, other, atol=1e-4)


def test_a_killed_training_resumes_with_the_same_weights(both: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    settings = {"epochs": 4, "ema_decay": 0.9, **MINILM}
    whole = weights(learned(env, both, budget=4, **settings))
    with pytest.raises(KilledError):
        learned(env, both, budget=4, run=Fragile(tmp_path, seconds=0.0), **settings)
    _embedding.cache_clear()
    assert weights(learned(env, both, budget=4, run=Run(tmp_path, seconds=0.0), **settings)) == whole


def test_two_processes_give_the_losses_of_one(both: Any, make: Make) -> None:
    env = make("LamReach-v0")
    one, two = Noted(), Noted(processes=2)
    for run in (one, two):
        learned(env, both, budget=3, run=run, batches=5, **MINILM)
    np.testing.assert_allclose(two.numbers["loss"], one.numbers["loss"], atol=1e-3)


@pytest.mark.parametrize("network", ["transformer", "mlp"])
def test_a_saved_agent_records_the_encoder_without_its_weights(
    network: str, table: Any, make: Make, tmp_path: Path
) -> None:
    env = make("LamTable-v0", instruct=True)
    agent = learned(env, table, network=network, **MINILM)
    folder = agent.save(tmp_path / "lam")
    assert (folder / WEIGHTS).stat().st_size < 2e6
    description = json.loads((folder / "agent.json").read_text())
    assert description["model"]["sentence_encoder"] == encoder_record()
    assert len(encoder_record()["sha256"]) == 64
    loaded = agents.load(folder, env)
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


def test_a_finetuned_model_starts_with_what_it_knew_and_keeps_its_encoder(
    table: Any, both: Any, make: Make, tmp_path: Path
) -> None:
    env, grasp = make("LamTable-v0", instruct=True), make("LamGrasp-v0", instruct=True)
    agent = learned(env, table, **MINILM)
    folder = agent.save(tmp_path / "lam")
    with pytest.raises(ValueError, match="has sentence_encoder=minilm; settings cannot change it to learned"):
        Lam.finetune(folder, both[1], grasp, seed=1, sentence_encoder="learned")
    tuned = Lam.finetune(folder, both[1], grasp, replay=[table], seed=1, budget=1, learning_rate=1e-12)
    loaded = agents.load(tuned.save(tmp_path / "tuned"), env)
    before, after = (each.policy.network.sentences for each in (agent, loaded))
    assert isinstance(before, FrozenSentences)
    assert isinstance(after, FrozenSentences)
    assert after.known[: len(before.known)] == before.known
    assert set(after.known) > set(before.known)
    # Another sentence may be more similar to one of the new task.
    seen = observations_of(env, range(3))
    seen["instruction"][:] = encoded(read_source(table).sentences[0])
    np.testing.assert_allclose(loaded.predict(seen)[0], agent.predict(seen)[0], atol=1e-5)


def test_a_sentence_is_encoded_once(agent: Lam, make: Make) -> None:
    env = make("LamTable-v0", instruct=True, paraphrases="held-out")
    observation, _ = env.reset(seed=3)
    _embedding.cache_clear()
    state = None
    for _ in range(9):
        action, state = agent.predict(observation, state)
        observation = env.step(action)[0]
    assert _embedding.cache_info()[:2] == (0, 1)


def test_the_export_is_refused_only_with_instructions(agent: Lam, make: Make) -> None:
    with pytest.raises(ValueError, match="sentence_encoder=minilm cannot be exported for instructions"):
        LamGraph(agent.observation_space, agent.action_space, agent.policy)
    plain = agents.make("lam", make("LamReach-v0"), **SMALL, **MINILM)
    graph = LamGraph(plain.observation_space, plain.action_space, plain.policy)
    assert [port.name for port in graph.observations] == ["observation"]


def test_attention_to_words_is_refused(agent: Lam, make: Make) -> None:
    observation = make("LamTable-v0", instruct=True).reset(seed=0)[0]
    assert agent.policy.attention(observation)["instruction"] > 0.0
    with pytest.raises(ValueError, match="no attention between words"):
        agent.policy.word_attention(observation)


def test_a_conversation_reports_the_known_sentence_that_replaces_an_instruction(agent: Lam, make: Make) -> None:
    known = ("lift the red cube", "open the drawer", "put the red cube in the bin")
    agent.policy.network.sentences.extend(map(agent.policy.parsed, known))
    conversation = Conversation(agent.policy, make("LamTable-v0", instruct=True), seed=0)
    cube = next(name for name in conversation.objects if name.endswith("cube"))
    assert conversation.unknown_words("hoist the banana") == []
    answers = [each.text for each in conversation.answers(f"hoist the {cube}")]
    assert len(answers) == 1
    assert answers[0].startswith("Interpreted as: lift the item (similarity 0.")
    assert conversation.answers(f"lift the {cube}") == []
