"""The kit's own promises to the author of a dialect: the guard, the skips, the assertions that show both sides."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ff_storage.core import testing
from ff_storage.core.sql.dialect import Capability
from ff_storage.core.testing.conformance import (
    Conformance,
    connections,
    lacking,
    replaced_tests,
    requires,
    why_skipped,
)

pytest_plugins = ["pytester"]

STANDARD = "test_s27_division_is_true_and_by_zero_null"


async def of_the_author(self: object) -> None: ...


def derived(**tests: Any) -> type[Any]:
    return type("TestDerived", (testing.QueryConformance,), {"__module__": __name__, **tests})


def test_a_subclass_that_adds_tests_replaces_none() -> None:
    assert replaced_tests(derived(test_of_the_author=of_the_author, capabilities=frozenset())) == {}


@pytest.mark.parametrize("own", [of_the_author, None, 5, pytest.mark.skip(reason="no")(of_the_author)])
def test_a_standard_test_that_is_replaced_or_dropped_is_named(own: object) -> None:
    assert replaced_tests(derived(**{STANDARD: own})) == {STANDARD: "TestDerived"}


def test_a_mixin_that_replaces_a_standard_test_is_named() -> None:
    mixin = type("Mixin", (), {STANDARD: of_the_author, "__module__": __name__})
    both = type("TestBoth", (mixin, testing.QueryConformance), {"__module__": __name__})
    assert replaced_tests(both) == {STANDARD: "Mixin"}


def test_an_expected_failure_needs_a_reason() -> None:
    def excused(reason: str | None) -> Callable[..., Any]:
        async def own(self: object) -> None: ...

        return pytest.mark.xfail(**({} if reason is None else {"reason": reason}))(own)

    assert replaced_tests(derived(**{STANDARD: excused("divides like C")})) == {}
    assert replaced_tests(derived(**{STANDARD: excused("")})) == {STANDARD: "TestDerived"}
    assert replaced_tests(derived(**{STANDARD: excused(None)})) == {STANDARD: "TestDerived"}


def test_the_guard_is_a_standard_test_itself() -> None:
    assert replaced_tests(derived(test_no_standard_test_is_replaced=of_the_author))


def test_a_test_is_skipped_for_what_the_engine_lacks_with_the_reason() -> None:
    both = requires(Capability.RETURNING, Capability.SCHEMAS)(of_the_author)
    assert why_skipped(both, frozenset({Capability.RETURNING, Capability.SCHEMAS}), None) == ""
    reason = why_skipped(both, frozenset({Capability.RETURNING}), None)
    assert "SCHEMAS" in reason
    assert "RETURNING" not in reason


def test_a_test_of_the_opposite_is_skipped_where_the_capability_is_there() -> None:
    async def own(self: object) -> None: ...

    without = lacking(Capability.SCHEMAS)(own)
    assert why_skipped(without, frozenset(), None) == ""
    assert "SCHEMAS" in why_skipped(without, frozenset({Capability.SCHEMAS}), None)


def test_a_test_of_several_connections_is_skipped_where_there_is_one() -> None:
    async def own(self: object) -> None: ...

    two = connections(2)(own)
    assert why_skipped(two, frozenset(), None) == ""
    assert why_skipped(two, frozenset(), 2) == ""
    assert "needs 2" in why_skipped(two, frozenset(), 1)


def test_every_module_with_assertions_is_rewritten() -> None:
    folder = Path(testing.__file__).parent
    for path in folder.glob("*.py"):
        if "  assert " in path.read_text() and path.name != "__init__.py":
            module = import_module(f"{testing.__name__}.{path.stem}")
            assert type(module.__loader__).__name__ == "AssertionRewritingHook", path.name


def test_the_short_path_gives_the_same_classes() -> None:
    facade = import_module("ff_storage.testing")
    assert facade.QueryConformance is testing.QueryConformance
    assert {name for name in vars(facade) if name[0] != "_"} == set(testing.__all__)


def test_no_class_of_the_kit_is_collected_by_itself() -> None:
    classes = [value for value in vars(testing).values() if isinstance(value, type)]
    assert Conformance in classes
    assert not any(each.__name__.startswith("Test") for each in classes)


def test_an_author_sees_what_is_missing_skipped_and_replaced(pytester: pytest.Pytester) -> None:
    """A class without `database`, run as an author would run it."""
    pytester.makepyfile(
        test_engine=f"""
        from ff_storage.core.sql.dialect import Capability
        from ff_storage.testing import Conformance, QueryConformance, requires

        class TestQuery(QueryConformance):
            capabilities = frozenset()

            async def {STANDARD}(self): ...

        class TestOwn(Conformance):
            capabilities = frozenset()

            @requires(Capability.SCHEMAS)
            async def test_schemas(self): ...

        class TestUndeclared(Conformance):
            async def test_schemas(self): ...
        """
    )
    select = f"{STANDARD} or schemas"
    result = pytester.runpytest_subprocess("-rs", "-p", "no:randomly", "-p", "no:cacheprovider", "-k", select)
    result.assert_outcomes(skipped=1, errors=2)
    result.stdout.fnmatch_lines(
        ["*must provide a fixture `database`*", "*must set `capabilities`*", "*the engine lacks SCHEMAS*"],
        consecutive=False,
    )
    assert sys.modules["ff_storage.core.testing"] is testing
