"""Bulk inserts of an engine that takes rows while they are made: which statements there are, and where errors were."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from ff_storage import Field, InvalidValueError, PydanticModel, UniqueViolation
from ff_storage.core.context import utc_now
from ff_storage.core.history import streams
from ff_storage.core.history.strategy import Write
from ff_storage.core.program import ExecuteMany
from ff_storage.core.query.bulk import RecordReader, insert_chunks
from ff_storage.core.sql import values
from ff_storage.core.sql.compiler import Compiler
from ff_storage.core.sql.dialect import Capability, Convert, Dialect
from ff_storage.core.sql.scope import Scope
from ff_storage.core.types import ColumnType


class Streaming(Dialect):
    name = "streaming"
    capabilities = frozenset[Capability]()
    max_parameters = 1000
    compiler = Compiler
    streams_inserts = True

    def placeholder(self, position: int) -> str:
        return f"${position}"

    def encoder(self, type_: ColumnType) -> Convert:
        return values.canonical(type_)


class StreamedPart(PydanticModel):
    __multi_tenant__ = False
    __soft_delete__ = False

    name: str = Field(max_length=10)
    grade: int | None = Field(default=None, db_default="7")


class Sent:
    """What a program sends, and how many records were read before each statement's first row was asked for."""

    def __init__(self, records: Iterable[Any], size: int, *, trusted: bool = False) -> None:
        self.read = 0
        self.statements: list[list[Sequence[Any]]] = []
        self.read_before: list[int] = []
        write = Write(StreamedPart.__ff_entity__, Scope(), Streaming(), None, utc_now())
        reader = RecordReader(StreamedPart, write, trusted=trusted)
        self.program = insert_chunks(write, reader.chunks(self._each(records), size), size)

    def _each(self, records: Iterable[Any]) -> Iterator[Any]:
        for record in records:
            self.read += 1
            yield record

    def run(self) -> int:
        try:
            command = next(self.program)
            while True:
                assert isinstance(command, ExecuteMany)
                self.read_before.append(self.read)
                self.statements.append(list(command.parameters))
                command = self.program.send(len(self.statements[-1]))
        except StopIteration as stop:
            return int(stop.value)


def parts(count: int) -> list[StreamedPart]:
    return [StreamedPart(name=f"{number}", grade=number) for number in range(count)]


def test_one_statement_takes_all_chunks_and_reads_them_on_the_way() -> None:
    sent = Sent(parts(25), 10)

    assert sent.run() == 25
    assert [len(rows) for rows in sent.statements] == [25]
    assert sent.read_before == [10]


def test_the_first_chunk_is_refused_before_anything_is_sent() -> None:
    records = parts(25)
    records[7] = StreamedPart.model_construct(name=7, grade=7)
    sent = Sent(records, 10)
    with pytest.raises(InvalidValueError) as caught:
        sent.run()
    assert sent.statements == sent.read_before == []
    assert caught.value.details["rows"] == (0, 10)
    assert len(caught.value.__notes__) == 1


def test_nothing_is_sent_of_no_records() -> None:
    sent = Sent([], 10)

    assert sent.run() == 0
    assert sent.statements == []


def test_a_statement_takes_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ROWS_A_STATEMENT", 20)
    sent = Sent(parts(45), 10)

    assert sent.run() == 45
    assert [len(rows) for rows in sent.statements] == [20, 20, 5]


def test_rows_that_leave_another_column_to_the_database_get_a_statement_of_their_own() -> None:
    records = parts(8)
    records[4:8] = [StreamedPart(name=f"{number}") for number in range(4, 8)]
    sent = Sent(records, 2)

    assert sent.run() == 8
    assert [[len(row) for row in rows] for rows in sent.statements] == [[7] * 4, [6] * 4]


def test_rows_that_give_a_column_more_get_a_statement_of_their_own() -> None:
    records = parts(8)
    records[0:4] = [StreamedPart(name=f"{number}") for number in range(4)]
    sent = Sent(records, 2)

    assert sent.run() == 8
    assert [[len(row) for row in rows] for rows in sent.statements] == [[6] * 4, [7] * 4]


def test_a_chunk_of_unlike_rows_is_split() -> None:
    records = parts(6)
    records[3] = StreamedPart(name="3")
    sent = Sent(records, 2)

    assert sent.run() == 6
    assert [[len(row) for row in rows] for rows in sent.statements] == [[7, 7], [7], [6], [7, 7]]


def test_a_value_that_cannot_be_bound_says_in_which_chunk_it_was() -> None:
    records = parts(25)
    records[13] = StreamedPart.model_construct(name="0123456789a", grade=1)

    with pytest.raises(InvalidValueError) as caught:
        Sent(records, 10).run()

    assert caught.value.details["chunk"] == 2
    assert caught.value.details["rows"] == (10, 20)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_record_may_lack_what_only_the_library_writes(trusted: bool) -> None:
    record = StreamedPart(name="a", grade=1, created_by=None)
    del record.__dict__["created_by"]

    assert Sent([record], 10, trusted=trusted).run() == 1


@pytest.mark.parametrize("number", [3, 13, 23])
@pytest.mark.parametrize("alike", [True, False])
def test_a_record_that_cannot_be_read_says_in_which_chunk_it_was(number: int, alike: bool) -> None:
    records: list[Any] = parts(25)
    if not alike:
        records[5] = StreamedPart(name="5")
        records[15] = StreamedPart(name="15")
    records[number] = {"name": 5}

    with pytest.raises(InvalidValueError) as caught:
        Sent(records, 10).run()

    start = number // 10 * 10
    assert caught.value.details == {"chunk": start // 10 + 1, "rows": (start, min(start + 10, 25))}
    assert len(caught.value.__notes__) == 1


@pytest.mark.parametrize("number", [3, 13])
@pytest.mark.parametrize("alike", [True, False])
def test_an_error_of_the_callers_own_is_left_alone(number: int, alike: bool) -> None:
    theirs = UniqueViolation("theirs")

    def records() -> Iterator[StreamedPart]:
        for each in range(number):
            yield StreamedPart(name=f"{each}") if each == 5 and not alike else StreamedPart(name=f"{each}", grade=1)
        raise theirs

    with pytest.raises(UniqueViolation) as caught:
        Sent(records(), 10).run()

    assert caught.value is theirs
    assert theirs.details == {}
    assert not hasattr(theirs, "__notes__")


@pytest.mark.parametrize(("details", "chunk", "rows"), [({"line": 14}, 2, (10, 20)), ({}, 1, (0, 25))])
def test_the_servers_error_says_in_which_chunk_it_was(
    details: dict[str, Any], chunk: int, rows: tuple[int, int]
) -> None:
    sent = Sent(parts(25), 10)
    command = next(sent.program)
    assert isinstance(command, ExecuteMany)
    assert len(list(command.parameters)) == 25

    with pytest.raises(UniqueViolation) as caught:
        sent.program.throw(UniqueViolation("taken", details=dict(details)))

    assert caught.value.details == {"chunk": chunk, "rows": rows}


def test_a_record_that_lacks_a_value_and_carries_something_else_is_refused() -> None:
    """As many values as columns are not enough: what a model keeps beside its fields is none of them."""
    record = StreamedPart(name="a", grade=1)
    del record.__dict__["name"]
    record.__dict__["remembered"] = "by a cached property"

    with pytest.raises(InvalidValueError, match="name"):
        Sent([record], 10).run()
