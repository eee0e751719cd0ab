"""Rows of a bulk insert that are prepared while those before them are on their way.

An engine that takes rows by COPY is as busy as we are; made and sent in turn, they would cost the sum of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, overload

from ff_storage.core.errors import StorageError

Values = Mapping[str, Any]
"""Field values by attribute."""

ROWS_A_STATEMENT: Final = 20_000
"""Rows that one statement takes, more or less, so that its deadline does not depend on how many there are in all."""


class Columns(Sequence[Values]):
    """Rows that have values for the same attributes, kept by column: attribute → the value of each row."""

    __slots__ = ("_count", "by_attribute")

    def __init__(self, by_attribute: Mapping[str, Sequence[Any]], count: int) -> None:
        self.by_attribute = by_attribute
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Values: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Values]: ...
    def __getitem__(self, index: int | slice) -> Values | Sequence[Values]:
        if isinstance(index, slice):
            return [self[each] for each in range(self._count)[index]]
        return {attribute: values[index] for attribute, values in self.by_attribute.items()}


def by_column(rows: Sequence[Values], attributes: Sequence[str]) -> list[Sequence[Any]]:
    """The values of `attributes`, each of which all of `rows` have, column by column."""
    if isinstance(rows, Columns):
        return [rows.by_attribute[attribute] for attribute in attributes]
    return [[row[attribute] for row in rows] for attribute in attributes]


class RowStream:
    """Rows in chunks of `size`: one that waits in `head`, and those that `statement` takes.

    `start` and `stop` are the rows of the chunk that was taken last, counted from 0, `began` is where the statement in
    hand began.
    """

    def __init__(self, chunks: Iterable[Sequence[Values]], size: int) -> None:
        self._chunks = iter(chunks)
        self._unread: StorageError | None = None
        self.size = size
        self.began = self.start = self.stop = 0
        self.head = self._read()

    def _read(self) -> Sequence[Values]:
        try:
            return next(self._chunks, ())
        except StorageError as error:
            self._unread = error
            raise

    def take(self) -> Sequence[Values]:
        """The chunk that waits; the next takes its place."""
        chunk = self._count()
        self.head = self._read()
        return chunk

    def _count(self) -> Sequence[Values]:
        self.start, self.stop = self.stop, self.stop + len(self.head)
        return self.head

    def statement(
        self, belongs: Callable[[Sequence[Values]], bool], bind: Callable[[Sequence[Values]], Iterable[Sequence[Any]]]
    ) -> Iterator[Sequence[Any]]:
        """The parameters of the chunk that waits, and of those behind it that belong to the same statement.

        The first is bound here, so that what is wrong with it is found before anything is sent; the others are read and
        bound when they are asked for, all of them before the next statement.
        """
        return chain(self._bound(bind), self._others(belongs, bind))

    def _others(
        self, belongs: Callable[[Sequence[Values]], bool], bind: Callable[[Sequence[Values]], Iterable[Sequence[Any]]]
    ) -> Iterator[Sequence[Any]]:
        self.head = self._read()
        while self.head and self.stop - self.began < ROWS_A_STATEMENT and belongs(self.head):
            yield from self._bound(bind)
            self.head = self._read()

    def _bound(self, bind: Callable[[Sequence[Values]], Iterable[Sequence[Any]]]) -> Iterable[Sequence[Any]]:
        chunk = self._count()
        try:
            return bind(chunk)
        except StorageError as error:
            locate(error, self.size, self.start, self.stop)
            raise

    def locate(self, error: StorageError) -> None:
        """Say in the server's error which chunk and rows it was in: those of its line, else all of its statement."""
        if error is self._unread or "rows" in error.details:  # the caller's own, or ours that has said so
            return
        line = error.details.pop("line", None)
        if line is None:
            locate(error, self.size, self.began, self.stop)
        else:
            start = (self.began + line - 1) // self.size * self.size
            locate(error, self.size, start, min(start + self.size, self.stop))


def locate(error: StorageError, size: int, start: int, stop: int) -> None:
    """Say in an error in which rows it was, and in which chunk of `size`."""
    number = start // size + 1
    error.details |= {"chunk": number, "rows": (start, stop)}
    error.add_note(f"in chunk {number} of the bulk insert, rows {start} to {stop - 1}")
