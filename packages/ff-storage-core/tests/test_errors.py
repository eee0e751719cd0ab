"""The error tree: codes that stay, messages of three parts, and errors that survive a process."""

import pickle
import re

import pytest

from ff_storage.core import errors
from ff_storage.core.errors import StorageError, UnknownFieldError

CLASSES = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, StorageError)]


@pytest.mark.parametrize("error", dict.fromkeys(CLASSES), ids=lambda each: each.__name__)
def test_every_class_has_a_code_of_its_own(error: type[StorageError]) -> None:
    assert re.fullmatch(r"FF-[A-Z]\d{3}", vars(error)["code"])
    assert {each for each in CLASSES if each.code == error.code} == {error}


def test_a_published_name_is_no_second_class() -> None:
    aliases = {name: each for name, each in vars(errors).items() if each in CLASSES and each.__name__ != name}
    assert aliases == {
        "FFStorageError": errors.StorageError,
        "TenantIsolationError": errors.TenantScopeError,
        "ConnectionPoolExhausted": errors.PoolTimeout,
    }


def test_the_docstring_has_the_whole_tree() -> None:
    assert errors.__doc__ is not None
    named = set(re.findall(r"\w+", errors.__doc__))
    assert {each.__name__ for each in CLASSES} - named == set()


def test_a_message_says_what_was_asked_what_was_found_and_what_to_do() -> None:
    assert str(StorageError("asked", found="found", remedy="do")) == "asked: found; do [FF-E000]"
    assert str(StorageError("asked", found="found")) == "asked: found [FF-E000]"
    assert str(StorageError("asked", remedy="do")) == "asked; do [FF-E000]"
    assert str(StorageError("asked")) == "asked [FF-E000]"


def test_a_name_that_is_not_known_gets_the_nearest_else_the_first_ten() -> None:
    assert "did you mean 'price'?" in str(UnknownFieldError.of("prise", "Product", ["name", "price"]))
    many = [f"field_{number:02}" for number in range(11)]
    assert str(UnknownFieldError.of("zzz", "Product", many)).endswith("field_08, field_09, … [FF-I102]")
    assert "there are none" in str(UnknownFieldError.of("zzz", "Product", []))


def test_an_error_is_whole_after_pickling() -> None:
    error = errors.SchemaDifference("asked", found="found", remedy="do", details={"number": 3})
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.SchemaDifference
    assert str(again) == str(error)
    assert again.details == {"number": 3}
