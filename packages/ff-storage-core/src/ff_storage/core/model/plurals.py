"""Default table names: a class's name in snake_case, its last word in the plural (`OrderItem` → `order_items`).

English rules and a table of exceptions; a name that comes out wrong is set with `__table_name__`, never guessed harder.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_SAME: Final = frozenset({
    "aircraft", "data", "deer", "equipment", "evidence", "feedback", "fish", "information", "media", "metadata",
    "money", "news", "series", "sheep", "software", "species", "staff", "weather",
})  # fmt: skip
"""Words that are their own plural, or have none."""

_IRREGULAR: Final = {
    "analysis": "analyses", "appendix": "appendices", "calf": "calves", "child": "children", "criterion": "criteria",
    "curriculum": "curricula", "datum": "data", "echo": "echoes", "epoch": "epochs", "foot": "feet", "goose": "geese",
    "half": "halves", "hero": "heroes", "knife": "knives", "leaf": "leaves", "lens": "lenses", "life": "lives",
    "loaf": "loaves", "man": "men", "matrix": "matrices", "medium": "media", "mouse": "mice", "ox": "oxen",
    "person": "people", "phenomenon": "phenomena", "potato": "potatoes", "quiz": "quizzes", "self": "selves",
    "shelf": "shelves", "stomach": "stomachs", "thief": "thieves", "tomato": "tomatoes", "tooth": "teeth",
    "vertex": "vertices", "veto": "vetoes", "wife": "wives", "wolf": "wolves", "woman": "women",
}  # fmt: skip

_COMPOUND: Final = ("woman", "man", "child", "person")
"""Irregular words that end others: salesperson, grandchild."""

_NOT_COMPOUND: Final = ("german", "human", "ottoman", "roman", "talisman")

_VOWELS: Final = frozenset("aeiou")


def plural(word: str) -> str:
    """The plural of a lower-case English noun; a word that looks like one already stays as it is."""
    if word in _SAME:
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for ending in _COMPOUND:
        if word.endswith(ending) and not word.endswith(_NOT_COMPOUND):
            return word.removesuffix(ending) + _IRREGULAR[ending]
    last, before = word[-1:], word[-2:-1]
    if last == "y" and before and before not in _VOWELS:
        return word[:-1] + "ies"
    if last == "s" and before == "i":
        return word[:-2] + "es"  # axis, crisis, thesis
    if last == "s" and before not in {"a", "o", "s", "u"}:
        return word  # settings, airlines: plural already, unlike atlas, chaos, class, status
    if last in {"s", "x", "z"} or word.endswith(("ch", "sh")):
        return word + "es"
    return word + "s"


def snake_case(class_name: str) -> str:
    """`OrderItem` → `order_item`, `HTTPServer` → `http_server`."""
    return _WORDS.sub("_", class_name).lower()


def table_name(class_name: str) -> str:
    """The table of a class that does not name one."""
    before, _, last = snake_case(class_name).rpartition("_")
    return f"{before}_{plural(last)}" if before or class_name.startswith("_") else plural(last)
