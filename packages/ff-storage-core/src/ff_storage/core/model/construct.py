"""The generated constructors: the source of one, and what it calls.

The source holds field names as string literals, and as attributes those that are plain names. A row that fails is
explained afterwards, by converting its columns one by one, so that nothing is paid for it while rows fit.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, cast

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic_core import to_json

from ff_storage.core.errors import ConfigurationError, InvalidRowError, StorageError
from ff_storage.core.model import trust
from ff_storage.core.model.loaded import PLAN_SLOT, ROW_SLOT, VALUES_SLOT, has_late_fields, making_of
from ff_storage.core.model.trust import ModelSchema, Way
from ff_storage.core.sql.dialect import Convert, Dialect
from ff_storage.core.sql.values import Seldom
from ff_storage.core.tables import Column
from ff_storage.core.types import Array, Json, Uuid

Row = tuple[Any, ...]

Check = tuple[int, str, Convert | None, Convert, bool]
"""How to see that a value is still that of the row: index, attribute, the column's `adapt`, then an encoder to the
stored form or, where the last is true, a decoder from it."""

FEW: Final = 8
"""Rows that are converted one by one; from this many on, what is common to all of them pays."""

DOCUMENTS: Final = 500
"""JSON documents that are decoded at a time."""

_FAILURES = (ValueError, TypeError, ArithmeticError)


class Plan:
    """How rows of `columns` become instances of `model`; kept with every instance made, beside its row.

    `readers` turn one driver value each into the field's value; None where they are the same. `checks` say by
    attribute how to see a change; those in `always` are of values that can change in place.
    """

    __slots__ = (
        "always",
        "build",
        "build_all",
        "checks",
        "columns",
        "converts",
        "dialect",
        "model",
        "readers",
        "rebuilds",
        "schema",
    )

    def __init__(self, model: type[BaseModel], columns: tuple[Column, ...], dialect: Dialect, schema: ModelSchema):
        self.model = model
        self.columns = columns
        self.dialect = dialect
        self.schema = schema
        self.readers: tuple[Convert | None, ...] = ()
        self.converts: tuple[bool, ...] = ()
        self.rebuilds = False
        self.build: Callable[[Row], Any]
        self.build_all: Callable[[Sequence[Row]], list[Any]]
        self.checks: dict[str, Check] | None = None
        self.always: tuple[Check, ...] = ()


# --- one column -------------------------------------------------------------------------------------------------------


class Reader:
    """The conversion of one column's driver values: as an expression to write into a constructor, or as a function."""

    def __init__(self, schema: ModelSchema, column: Column, dialect: Dialect) -> None:
        self.column = column
        self.decode = dialect.decoder(column.type)
        self.way = trust.way(schema, column.attribute, column.type)
        self.text = dialect.json_text and isinstance(column.type, Json)
        self.together = self.text and dialect.json_checked and self.way is Way.ASSIGN
        self.nullable = trust.is_nullable(schema, column.attribute)
        if self.decode is not None and isinstance(column.type, Uuid) and column.injected and column.attribute != "id":
            self.decode = _Memo(self.decode).__getitem__
        self.convert: Any = None
        if self.way is not Way.ASSIGN:
            self.convert = trust.converter(schema, column.attribute, self.way)
        if self.way is Way.MEMBER:
            self.convert = _Members(trust.enum_members(schema, column.attribute), self.convert)
        elif self.way is Way.ASSIGN and self.decode is None and isinstance(column.type, Json | Array):
            # The row stays as it was read, to be compared with; the instance's lists and dicts are the user's.
            self.decode = _copy

    def expression(self, value: str, names: dict[str, Any]) -> str:
        """Source of the field's value from the driver value in the variable `value`; adds what it calls to `names`."""
        names[f"decode_{value}"] = self.decode
        names[f"convert_{value}"] = self.convert
        names["to_json"] = to_json
        decoded = f"decode_{value}({value})" if self.decode else value
        if isinstance(self.decode, Seldom):
            names |= self.decode.names
            decoded = f"({value} if {self.decode.fits.format(value)} else {decoded})"
        unless_none = f"None if {value} is None else "
        if self.way is Way.ASSIGN:
            return unless_none + decoded if self.decode else value
        if self.way is Way.JSON and self.text:
            return (
                f"{unless_none}convert_{value}({value})"
                if self.nullable
                else f"convert_{value}('null' if {value} is None else {value})"
            )
        if self.decode and not self.nullable:
            decoded = unless_none + decoded
        if self.way is Way.JSON:
            decoded = f"to_json({decoded})"
        call = f"convert_{value}[{decoded}]" if self.way is Way.MEMBER else f"convert_{value}({decoded})"
        return unless_none + call if self.nullable else call

    def function(self, model: type[BaseModel]) -> Convert | None:
        """The conversion as a function; None when there is nothing to convert."""
        names: dict[str, Any] = {}
        expression = self.expression("value", names)
        if expression == "value":
            return None
        names |= {"failures": _FAILURES, "explain": _explain_value, "model": model, "column": self.column}
        lines = [
            "def read(value):",
            "    try:",
            f"        return {expression}",
            "    except failures as error:",
            "        raise explain(model, column, error) from error",
        ]
        return cast("Convert", _compile(lines, names, "read", model))


class _Members(dict[Any, Any]):
    """Value → enum member; the enum's validator answers for what is not there (flags, `_missing_`, its error)."""

    __slots__ = ("validate",)

    def __init__(self, members: dict[Any, Any], validate: Convert) -> None:
        super().__init__(members)
        self.validate = validate

    def __missing__(self, value: Any) -> Any:
        return self.validate(value)


class _Memo(dict[Any, Any]):
    """Driver value → value of a column whose rows share few: tenants and users.

    Beside the conversion this saves an object of every row that the garbage collector would look at.
    """

    __slots__ = ("decode",)

    def __init__(self, decode: Convert) -> None:
        super().__init__()
        self.decode = decode

    def __missing__(self, value: Any) -> Any:
        if len(self) >= _MEMORIES:
            self.clear()
        decoded = self[value] = self.decode(value)
        return decoded


_MEMORIES = 1024


def _documents(decode: Convert, index: int, rows: Sequence[Row]) -> Iterator[Any]:
    """The JSON documents of one column, decoded many at a time: that takes two thirds of the time."""

    def decoded(start: int) -> Any:
        texts = [row[index] for row in rows[start : start + DOCUMENTS]]
        return decode(f"[{','.join(['null' if text is None else text for text in texts])}]")

    return chain.from_iterable(map(decoded, range(0, len(rows), DOCUMENTS)))


def _copy(value: Any) -> Any:
    """A JSON value with lists and dicts of its own."""
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [_copy(each) for each in items]
    if isinstance(value, dict):
        pairs: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {key: _copy(each) for key, each in pairs.items()}
    return value


# The plan, the row, and the very dict of values: a validated assignment gives an instance another one.
_REMEMBER = ["set_plan(self, plan)", "set_row(self, row)", "set_values(self, values)"]

# --- the generated constructors ---------------------------------------------------------------------------------------


def plan_trusted(plan: Plan, readers: Sequence[Reader]) -> None:
    """Give the plan the constructors that assign each field what its reader gives."""
    model = plan.model
    names: dict[str, Any] = {
        "new": model.__new__,
        "model": model,
        # BaseModel.__setattr__ is for users. Its slots' descriptors set the same memory in a quarter of the time of
        # object.__setattr__, which looks each name up again.
        "set_dict": BaseModel.__dict__["__dict__"].__set__,
        "set_fields_set": BaseModel.__dict__["__pydantic_fields_set__"].__set__,
        "set_extra": BaseModel.__dict__["__pydantic_extra__"].__set__,
        "set_private": BaseModel.__dict__["__pydantic_private__"].__set__,
    }
    # One for both constructors: instances of one class share the keys of their dicts.
    making = making_of(model, plan.schema.fields) if plan.schema.post_init is None else None
    read = {reader.column.attribute: reader.expression(f"c{index}", names) for index, reader in enumerate(readers)}
    plan.build = _builder(plan, _assignments(plan, read, names, making), names)
    together = {index: reader for index, reader in enumerate(readers) if reader.together}
    read |= {reader.column.attribute: f"j{index}" for index, reader in together.items()}
    plan.build_all = _builder_of_many(plan, _assignments(plan, read, names, making), names, [*together])


def _assignments(plan: Plan, read: dict[str, str], names: dict[str, Any], making: tuple[Any, bool] | None) -> list[str]:
    """The lines that make an instance `self` of a row's values; `read` is the source of each field's value.

    `making` is the class to fill it in, and whether its fields are set one by one, where there is one.
    """
    model, schema = plan.model, plan.schema
    values: dict[str, str] = {}
    for index, name in enumerate(schema.fields):  # the order that dumps and repr go by
        values[name] = read[name] if name in read else _default(schema, name, f"d{index}", names)
    extra = "{}" if model.model_config.get("extra") == "allow" else "None"
    whole = f"values = {{{', '.join([f'{name!r}: {value}' for name, value in values.items()])}}}"
    if making is not None:
        names["making"], one_by_one = making
        fields = [f"self.{name} = {value}" for name, value in values.items()] if one_by_one else [whole]
        return [
            "self = new(making)",
            *fields,
            "values = self.__dict__" if one_by_one else "self.__dict__ = values",
            f"self.__pydantic_extra__ = {extra}",
            "self.__pydantic_private__ = None",
            f"self.{PLAN_SLOT} = plan",
            f"self.{ROW_SLOT} = row",
            f"self.{VALUES_SLOT} = values",
            "self.__class__ = model",
        ]
    lines = [
        "self = new(model)",
        whole,
        "set_dict(self, values)",
        f"set_extra(self, {extra})",
        "set_private(self, None)",
    ]
    remembers = _remembers(model, names)
    if not remembers or schema.post_init is not None or not has_late_fields(model):
        lines.append(f"set_fields_set(self, {{{', '.join(map(repr, read))}}})")
    if schema.post_init is not None:  # creates the private attributes, too
        names["post_init"] = getattr(model, schema.post_init)
        lines += ["post_init(self, None)", "values = self.__dict__"]
    return lines + _REMEMBER if remembers else lines


def plan_whole(plan: Plan) -> None:
    """Give the plan the constructor that hands the canonical values to the model's validators."""
    model, schema = plan.model, plan.schema
    names: dict[str, Any] = {"model": model}
    items: dict[str, str] = {}
    json_fields: set[str] = set()
    for index, column in enumerate(plan.columns):
        if column.attribute in schema.fields and trust.way(schema, column.attribute, column.type) is Way.JSON:
            json_fields.add(column.attribute)
        decode = plan.dialect.decoder(column.type)
        if decode is None and isinstance(column.type, Json | Array):
            decode = _copy
        names[f"decode_c{index}"] = decode
        value = f"None if c{index} is None else decode_c{index}(c{index})" if decode else f"c{index}"
        items[_input_name(model, schema, column.attribute)] = value
    names["validate"] = trust.whole_validator(schema, json_fields)
    given = ", ".join(f"{name!r}: {value}" for name, value in items.items())
    lines = [f"self = validate({next(iter(items.values())) if schema.is_root_model else f'{{{given}}}'})"]
    if _remembers(model, names):
        # A wrap validator may return anything.
        lines.append(f"if type(self) is model: values = self.__dict__; {'; '.join(_REMEMBER)}")
    plan.build = _builder(plan, lines, names)
    plan.build_all = _builder_of_many(plan, lines, names, [])


def _builder(plan: Plan, lines: list[str], names: dict[str, Any]) -> Callable[[Row], Any]:
    names |= {"plan": plan, "failures": _FAILURES, "known": StorageError, "explain": _explain_row}
    variables = ", ".join(f"c{index}" for index in range(len(plan.columns)))
    build = _compile(
        [
            "def build(row):",
            "    try:",
            f"        {variables}, = row",
            *(f"        {line}" for line in lines),
            "        return self",
            "    except known:",
            "        raise",
            "    except failures as error:",
            "        raise explain(plan, row, error) from error",
        ],
        names,
        "build",
        plan.model,
    )
    return cast("Callable[[Row], Any]", build)


def _builder_of_many(
    plan: Plan, lines: list[str], names: dict[str, Any], together: list[int]
) -> Callable[[Sequence[Row]], list[Any]]:
    """The constructor of many: `lines` in a loop, the columns at the indexes of `together` decoded beforehand."""
    names |= {"build": plan.build, "documents": _documents, "few": FEW}
    variables = ", ".join(f"c{index}" for index in range(len(plan.columns)))
    row, rows = "row", "rows"
    if together:
        row = ", ".join([row, *(f"j{index}" for index in together)])
        each = [f"documents(decode_c{index}, {index}, rows)" for index in together]
        rows = f"zip({', '.join([rows, *each])}, strict=True)"
    build_all = _compile(
        [
            "def build_all(rows):",
            "    if len(rows) < few:",
            "        return [build(row) for row in rows]",
            "    built = []",
            "    append = built.append",
            "    try:",
            f"        for {row} in {rows}:",
            f"            {variables}, = row",
            *(f"            {line}" for line in lines),
            "            append(self)",
            "    except failures:",
            "        return [build(row) for row in rows]  # one of which explains what is wrong with it",
            "    return built",
        ],
        names,
        "build_all",
        plan.model,
    )
    return cast("Callable[[Sequence[Row]], list[Any]]", build_all)


def _compile(lines: list[str], names: dict[str, Any], function: str, model: type[BaseModel]) -> Any:
    code = compile("\n".join(lines), f"<ff_storage: {function} {model.__name__}>", "exec")
    exec(code, names)  # noqa: S102  # our own source: no text of the user's but plain or quoted names
    return names[function]


def _default(schema: ModelSchema, name: str, variable: str, names: dict[str, Any]) -> str:
    """Source of the default of a field that is not read, shared by all instances only if Pydantic would."""
    own = schema.fields[name]
    validated = own.get("validate_default", schema.config.get("validate_default", False))
    if "default" in own and not validated:
        try:
            hash(own["default"])
        except TypeError:  # mutable, so copied
            pass
        else:
            names[variable] = own["default"]
            return variable
    names[variable] = trust.default_of(schema, name)
    return f"{variable}()"


def _remembers(model: type[BaseModel], names: dict[str, Any]) -> bool:
    """Whether instances have the three slots; adds what sets them to `names`."""
    for name, slot_name in (("set_plan", PLAN_SLOT), ("set_row", ROW_SLOT), ("set_values", VALUES_SLOT)):
        slots = (base.__dict__.get(slot_name) for base in model.__mro__)
        slot = next((each for each in slots if isinstance(each, types.MemberDescriptorType)), None)
        if slot is None:
            return False
        names[name] = slot.__set__
    return True


def _input_name(model: type[BaseModel], schema: ModelSchema, attribute: str) -> str:
    """What the model's validators call the field: its name, unless an `__init__` of its own passes the data on."""
    config = model.model_config
    if not schema.custom_init or config.get("populate_by_name") or config.get("validate_by_name"):
        return attribute
    alias = model.model_fields[attribute].validation_alias
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), alias)
    if alias is None or isinstance(alias, str):
        return alias or attribute
    raise ConfigurationError(
        f"{model.__name__}.{attribute} cannot be passed to the model's own __init__",
        found="an alias that is a path",
        remedy="set validate_by_name in the model's config",
    )


# --- errors -----------------------------------------------------------------------------------------------------------


def _explain_row(plan: Plan, row: Row, error: Exception) -> StorageError:
    """The error for a row that failed, naming the column where one alone is to blame."""
    if len(row) != len(plan.columns):
        return InvalidRowError(
            f"a row of {plan.model.__name__} needs {len(plan.columns)} values", found=f"it has {len(row)}"
        )
    for read, value in zip(plan.readers, row, strict=False):
        if read is not None:
            try:
                read(value)
            except InvalidRowError as found:
                return found
    return InvalidRowError(f"a row does not fit {plan.model.__name__}", found=_reason(error), remedy=_REMEDY)


def _explain_value(model: type[BaseModel], column: Column, error: Exception) -> StorageError:
    return InvalidRowError(
        f"the column {column.name} does not fit {model.__name__}.{column.attribute}",
        found=_reason(error),
        remedy=_REMEDY,
        details={"column": column.name},
    )


_REMEDY = "correct the stored value, or let the model accept it"


def _reason(error: Exception) -> str:
    """What went wrong, without the value: it may be a secret."""
    if not isinstance(error, ValidationError):
        return f"a {type(error).__name__}"
    return "; ".join(
        ": ".join(filter(None, [".".join(map(str, each["loc"])), each["msg"]]))
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    )
