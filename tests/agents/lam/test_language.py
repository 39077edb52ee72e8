"""Sentences point at entities: a name is only a lookup, and never a word of its own."""

from __future__ import annotations

import torch

from agents.imitation.lam.language import NAME_MARK, Sentences, mirrored_sentence, parse
from agents.policies.encoders.instructions import MAX_WORDS, PADDING, UNKNOWN

NAMES = ["robot", "red_cube", "blue_cube", "slab", None]


def test_names_in_a_sentence_become_marks_and_positions() -> None:
    found = parse("Put the red cube to the left of the slab!", NAMES)
    assert found.words == ("put", "the", NAME_MARK, "to", "the", "left", "of", "the", NAME_MARK)
    assert found.mentions == (-1, 2, -1, 8, -1)


def test_an_entity_has_the_position_of_its_first_mention() -> None:
    found = parse("red cube and red cube", NAMES)
    assert found.words == (NAME_MARK, "and", NAME_MARK)
    assert found.mentions[1] == 0


def test_every_mention_has_its_entity() -> None:
    assert parse("red cube, slab and red cube", NAMES).entities == (1, 3, -1, 1)
    long = parse("very " * (MAX_WORDS - 1) + "slab red cube", NAMES)
    assert long.entities == (*[-1] * (MAX_WORDS - 1), 3)


def test_the_longest_name_is_found_first() -> None:
    assert parse("take the red cube", ["cube", "red_cube"]).mentions == (-1, 2)
    assert parse("take the cube", ["cube", "red_cube"]).mentions == (2, -1)


def test_words_beyond_the_longest_sentence_are_left_out() -> None:
    found = parse("very " * MAX_WORDS + "red cube", NAMES)
    assert len(found.words) == MAX_WORDS
    assert found.mentions == (-1,) * len(NAMES)


def test_sentences_that_differ_in_names_alone_have_the_same_numbers() -> None:
    sentences = Sentences(8)
    one, other = (parse(text, NAMES) for text in ("lift the red cube", "lift the blue cube"))
    sentences.extend([one])
    assert torch.equal(*(sentences.numbers([each]) for each in (one, other)))
    assert "cube" not in sentences.vocabulary.numbers
    unknown = sentences.numbers([parse("hoist the red cube", NAMES)])[0]
    assert unknown[0] == UNKNOWN
    assert torch.equal(unknown[1:], sentences.numbers([one])[0, 1:])


def test_a_long_word_is_known_by_its_first_bytes() -> None:
    sentences = Sentences(8)
    known = [parse(text, NAMES) for text in ("把红色方块放在桌子的左边", "lift the extraordinarily_long_name_1")]
    sentences.extend(known)
    numbers = sentences.numbers([*known, parse("把红色方块放在右边的桌子上", NAMES)])
    assert numbers[0, 0] > UNKNOWN
    assert (numbers[1, :3] > UNKNOWN).all()
    assert numbers[2, 0] == UNKNOWN


def test_no_sentence_is_an_unknown_word() -> None:
    sentences = Sentences(8).eval()
    numbers = sentences.numbers([parse("", NAMES), parse("strange", NAMES)])
    assert numbers[0].tolist() == [PADDING] * MAX_WORDS
    meaning, _ = sentences(numbers)
    assert torch.allclose(meaning[0], meaning[1])


def test_the_mirror_swaps_left_and_right() -> None:
    there = "put it upright to the left side, leftward of what is right of the slab"
    back = "put it upright to the right side, rightward of what is left of the slab"
    assert mirrored_sentence(there) == back
    assert mirrored_sentence(back) == there
    assert mirrored_sentence("Left of the slab, lift the leftover") == "right of the slab, lift the leftover"


def test_a_sentence_is_encoded_once_until_it_or_the_weights_change() -> None:
    sentences, calls = Sentences(8).eval(), list[int]()
    sentences.norm.register_forward_hook(lambda *_: calls.append(1))
    words = parse("lift the red cube", NAMES), parse("open the drawer", NAMES)
    sentences.extend(words)
    one, other = sentences.numbers(words).chunk(2)
    mentions, first = torch.tensor([[-1, 2, -1, -1, -1]]), torch.zeros(1, dtype=torch.int64)

    def encoded(numbers: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            meaning, mentioned = sentences.encode(numbers, first, mentions)
            expected, each = sentences(numbers)
        assert torch.equal(meaning, expected)
        assert torch.equal(mentioned[0, 1], each[0, 2])
        calls.pop()
        return meaning, mentioned

    encoded(one)
    encoded(one)
    assert len(calls) == 1
    encoded(other)
    assert len(calls) == 2
    optimizer = torch.optim.AdamW(sentences.parameters())
    sentences(other)[0].square().sum().backward()
    calls.pop()
    optimizer.step()
    encoded(other)
    assert len(calls) == 3
    sentences.load_state_dict(Sentences(8).state_dict())
    encoded(other)
    assert len(calls) == 4
    sentences.train().eval()
    encoded(other)
    assert len(calls) == 5


def test_a_sentence_is_encoded_again_where_gradients_are_needed() -> None:
    sentences = Sentences(8).eval()
    words = sentences.numbers([parse("lift the slab", NAMES)])
    mentions, first = torch.full((1, 5), -1), torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        sentences.encode(words, first, mentions)
    meaning, _ = sentences.encode(words, first, mentions)
    assert meaning.requires_grad


def test_weights_that_were_made_in_inference_mode_encode_sentences() -> None:
    with torch.inference_mode():
        sentences = Sentences(8).eval()
        words = sentences.numbers([parse("lift the slab", NAMES)])
        meaning, _ = sentences.encode(words, torch.zeros(1, dtype=torch.int64), torch.full((1, 5), -1))
        assert torch.equal(meaning, sentences(words)[0])
