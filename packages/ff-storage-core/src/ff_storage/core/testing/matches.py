"""Text: literal matches, wildcards, case, and the functions of text."""

from __future__ import annotations

from typing import Any, Final

import pytest

from ff_storage.core.database import Pool
from ff_storage.core.query import Query, col, func, not_
from ff_storage.core.sql.dialect import Capability
from ff_storage.core.testing.conformance import lacking, requires
from ff_storage.core.testing.filters import FilterTests, names_of
from ff_storage.core.testing.models import Product

SIGNS: Final = (
    "plain", "50%", "500", "a_b", "axb", "a\\b", "a\\_b", "a\\%b", "100%_\\[", "[a-z]", "[a]", "m", "*",
    "x*y", "?", "!", "!%", "^", "it's", '"q"', "#", "{}", "$1", "PLAIN", "plain ", "%", "_", "\\", "%%", "__", "]",
    "[", "a\nb", "-- ", "🦆",
)  # fmt: skip
"""Texts in which some engine or another sees a wildcard."""

NEEDLES: Final = (
    "%", "_", "\\", "[", "]", "[a-z]", "*", "?", "!", "^", "'", '"', "a_b", "50%", "\\_", "\\%", "%_\\[", "plain",
    "P", "a", "", "%%", "__", "b", "n", " ", "\n", "🦆", "zzz", "--",
)  # fmt: skip


class MatchTests(FilterTests):
    """contains and its kin, like, and what counts as a character."""

    @pytest.mark.parametrize("needle", NEEDLES, ids=ascii)
    async def test_s20_matches_are_literal(self, pool: Pool, needle: str) -> None:
        """No character of the caller's text is a wildcard, on either side."""
        await self.given(pool, *[Product(name=name) for name in SIGNS])
        name = col(Product.name)
        contained = {each for each in SIGNS if needle in each}
        assert await names_of(Query(Product).filter(name.contains(needle)), pool) == contained
        started = {each for each in SIGNS if each.startswith(needle)}
        assert await names_of(Query(Product).filter(name.startswith(needle)), pool) == started
        ended = {each for each in SIGNS if each.endswith(needle)}
        assert await names_of(Query(Product).filter(name.endswith(needle)), pool) == ended
        folded = {each for each in SIGNS if needle.lower() in each.lower()}
        assert await names_of(Query(Product).filter(name.icontains(needle)), pool) == folded
        assert await names_of(Query(Product).filter(not_(name.contains(needle))), pool) == set(SIGNS) - contained

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("a_b", {"a_b", "axb", "a\\b", "a\nb"}),
            ("a\\_b", {"a_b"}),
            ("a%b", {"a_b", "axb", "a\\b", "a\\_b", "a\\%b", "a\nb"}),
            ("a\\\\b", {"a\\b"}),
            ("a\\\\\\_b", {"a\\_b"}),
            ("50\\%", {"50%"}),
            ("50_", {"50%", "500"}),
            ("[a-z]", {"[a-z]"}),
            ("x*y", {"x*y"}),
            ("?", {"?"}),
            ("plain", {"plain"}),
            ("plain_", {"plain "}),
            ("_", {"m", "*", "?", "!", "^", "#", "%", "_", "\\", "]", "[", "🦆"}),
            ("", set[str]()),
        ],
    )
    async def test_like_has_two_wildcards_and_an_escape(self, pool: Pool, pattern: str, expected: set[str]) -> None:
        await self.given(pool, *[Product(name=name) for name in SIGNS])
        assert await names_of(Query(Product).filter(col(Product.name).like(pattern)), pool) == expected

    async def test_like_is_case_sensitive_and_ilike_is_not(self, pool: Pool) -> None:
        await self.given(pool, *[Product(name=name) for name in ("plain", "PLAIN", "Plain Jane", "pain")])
        name = col(Product.name)
        for condition, expected in (
            (name.like("P%"), {"PLAIN", "Plain Jane"}),
            (name.ilike("p_ain"), {"plain", "PLAIN"}),
            (name.contains("lain"), {"plain", "Plain Jane"}),
            (name.icontains("LAIN"), {"plain", "PLAIN", "Plain Jane"}),
            (name.startswith("p"), {"plain", "pain"}),
            (name.istartswith("PL"), {"plain", "PLAIN", "Plain Jane"}),
            (name.endswith("N"), {"PLAIN"}),
            (name.iendswith("N"), {"plain", "PLAIN", "pain"}),
        ):
            assert await names_of(Query(Product).filter(condition), pool) == expected

    @requires(Capability.UNICODE_CASEFOLD)
    async def test_s14_every_script_folds(self, pool: Pool) -> None:
        pairs = [("É", "é"), ("ЖУК", "жук"), ("ΛΟΓΟ", "λογο"), ("Ǆ", "ǆ"), ("ÅNGSTRÖM", "ångström")]
        for upper, lower in pairs:
            await self.given(pool, Product(name=upper), Product(name=lower))
        name: Any = Product.name
        for upper, lower in pairs:
            both = {upper, lower}
            for text in both:
                assert await names_of(Query(Product).filter(name.icontains(text)), pool) == both
                assert await names_of(Query(Product).filter(name.istartswith(text)), pool) == both
                assert await names_of(Query(Product).filter(name.contains(text)), pool) == {text}
                assert await names_of(Query(Product).filter(func.lower(name) == lower), pool) == both
                assert await names_of(Query(Product).filter(func.upper(name) == upper), pool) == both

    @requires(Capability.UNICODE_CASEFOLD)
    @pytest.mark.parametrize(("sign", "letter"), [("\u212a", "k"), ("\u2126", "ω"), ("\u212b", "å"), ("\u03f4", "θ")])
    async def test_s14_a_sign_folds_as_the_letter_it_is(self, pool: Pool, sign: str, letter: str) -> None:
        """Kelvin, Ohm and Angstrom, and the symbol theta: each has a capital letter for its twin."""
        both = {f"1 {sign}", f"1 {letter}"}
        await self.given(pool, *[Product(name=name) for name in both])
        for text in (sign, letter, letter.upper()):
            assert await names_of(Query(Product).filter(col(Product.name).icontains(text)), pool) == both

    @lacking(Capability.UNICODE_CASEFOLD)
    async def test_s14_ascii_folds_and_the_rest_is_exact(self, pool: Pool) -> None:
        await self.given(pool, Product(name="ABC É"), Product(name="abc é"))
        name = col(Product.name)
        assert await names_of(Query(Product).filter(name.icontains("Abc")), pool) == {"ABC É", "abc é"}
        assert await names_of(Query(Product).filter(name.contains("É")), pool) == {"ABC É"}

    async def test_text_functions_count_code_points(self, pool: Pool) -> None:
        await self.given(pool, Product(name="🦆é", category="x"), Product(name="", category=None))
        lengths = await Query(Product).select(func.length(Product.name), func.length(Product.category)).execute(pool)
        assert sorted(lengths, key=str) == [(0, None), (2, 1)]
        found = await Query(Product).select(func.coalesce(Product.category, "none")).execute(pool)
        assert sorted(found) == [("none",), ("x",)]
        assert await names_of(Query(Product).filter(func.length(Product.name) == 0), pool) == {""}

    async def test_s23_text_joins_and_null_stays_null(self, pool: Pool) -> None:
        await self.given(pool, Product(name="a", category="b"), Product(name="c"))
        joined: Any = col(Product.name) + "-" + Product.category
        found = await Query(Product).select(Product.name, joined).order_by(Product.name).execute(pool)
        assert found == [("a", "a-b"), ("c", None)]
