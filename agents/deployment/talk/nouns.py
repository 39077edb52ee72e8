"""Nouns of an instruction that an environment cannot name, such as "orange cup"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agents.policies.encoders.instructions import words_of

DETERMINERS = frozenset(
    words_of("a all an another any both each every her his its my our some that the their these this those your")
)
"""Words before a noun."""
FUNCTION_WORDS = frozenset(
    words_of("""
    about above across after again against ahead along and apart are around as aside at away back backward
    before behind below beneath beside between beyond but by can carefully close closer down far fast faster
    firmly for forward from further gently hard harder has have here high higher home if in inside into is it
    less low lower me more near next now of off on once onto or out outside over past please quickly sideways
    slow slower slowly so soft softly still straight than them then there through till to together too toward
    towards twice under underneath until up upon upward us when where which while who with within without you
    """)
)
"""Prepositions, conjunctions, pronouns and adverbs: they end a noun, as do adverbs in -ly."""
PARTICLES = frozenset(words_of("at down in into off on onto out over to toward towards up"))
"""Words that may stand between a verb and its noun."""
GENERAL_WORDS = frozenset(
    words_of("""
    all arm back bit bottom center centimeter cm corner couple edge end few finger fingertip four front gripper
    half hand inch item left little lot meter middle millimeter mm moment object one other pair part quarter
    rest right robot s second side step table thing three time tool top two way
    """)
)
"""Words for the robot and its table, for directions and amounts, and for any object; ``s`` is that of a possessive.
Alone they name no object that a scene could lack."""

Noun = tuple[str, ...]
"""Words of a noun with its adjectives, without an article."""


class NounFinder:
    """Finder of the nouns that an environment cannot name.

    An environment can name its entities, and whatever follows an article in its own sentences. A noun of an
    instruction is unknown if it contains no such name, and a word that the environment never uses.

    Args:
        entities: Names of the entities, such as ``red_cube``.
        sentences: All sentences of the environment.
        words: Further words that count as names, such as those that a model has learned.
    """

    def __init__(self, entities: Iterable[str], sentences: Iterable[str], words: Iterable[str] = ()) -> None:
        names = {tuple(words_of(name.replace("_", " "))) for name in entities}
        parsed = [words_of(text) for text in dict.fromkeys(sentences)]
        self._verbs = {words[0] for words in parsed if words}
        named = names.union(*(_after_determiners(words) for words in parsed))
        self._names = {name for name in named if not GENERAL_WORDS.issuperset(name)}
        self._known = GENERAL_WORDS.union(*parsed, *names, words)

    def unknown(self, instruction: str) -> list[str]:
        """Return the nouns of an instruction that the environment cannot name, with their adjectives.

        A noun follows an article, a possessive, or a verb with which a sentence of the environment begins.

        Args:
            instruction: Sentence.
        """
        words = words_of(instruction)
        nouns = _after_determiners(words)
        if words and words[0] in self._verbs:
            # Without an article, as in "pick up orange cups".
            start = next((at for at in range(1, len(words)) if words[at] not in PARTICLES), len(words))
            if not any(map(_ends_noun, words[start : start + 1])):
                nouns.insert(0, _noun(words[start:]))
        return [" ".join(noun) for noun in dict.fromkeys(nouns) if self._is_unknown(noun)]

    def _is_unknown(self, noun: Noun) -> bool:
        if all(word in self._known or word.removesuffix("s") in self._known for word in noun):
            return False
        parts = [noun[start:end] for end in range(1, len(noun) + 1) for start in range(end)]
        singular = [(*part[:-1], part[-1].removesuffix("s")) for part in parts]
        return not any(part in self._names for part in (*parts, *singular))


def _after_determiners(words: Sequence[str]) -> list[Noun]:
    """Return the nouns that follow a determiner."""
    starts = [start for start, word in enumerate(words[:-1], start=1) if word in DETERMINERS]
    closed = DETERMINERS | FUNCTION_WORDS
    return [_noun(words[start:]) for start in starts if words[start] not in closed]


def _noun(words: Sequence[str]) -> Noun:
    """Return the first word and those after it, up to the first one that ends a noun."""
    end = next((at for at, word in enumerate(words) if at and _ends_noun(word)), len(words))
    return tuple(words[:end])


def _ends_noun(word: str) -> bool:
    return word in FUNCTION_WORDS or word in DETERMINERS or word.endswith("ly")
