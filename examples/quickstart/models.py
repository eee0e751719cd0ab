"""The tables: five models, with the keys that the data itself has.

A field is a column. Its type, `max_length`, the bounds `ge` and `le`, a `Literal` and `db_foreign_key` become part of
the table, so the database holds the same rules as the models. Nobody owns this data: `__multi_tenant__ = False`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from ff_storage import Field, PydanticModel


class Airline(PydanticModel):
    """An airline, by its two-letter code."""

    __multi_tenant__ = False

    carrier: str = Field(db_primary_key=True, max_length=2)
    name: str = Field(max_length=50)


class Airport(PydanticModel):
    """An airport, by its FAA code; a stub is one that flights name and the list of airports lacks."""

    __multi_tenant__ = False

    faa: str = Field(db_primary_key=True, max_length=3)
    name: str | None = Field(default=None, max_length=60)
    lat: float | None = Field(default=None, ge=-90, le=90, description="degrees north")
    lon: float | None = Field(default=None, ge=-180, le=180, description="degrees east")
    alt: int | None = Field(default=None, ge=-1500, le=30_000, description="feet")
    tz: int | None = Field(default=None, ge=-12, le=14, description="hours from UTC")
    dst: Literal["A", "N", "U"] | None = Field(default=None, description="daylight saving: US rules, none, unknown")
    tzone: str | None = Field(default=None, max_length=40)
    stub: bool = False


class Plane(PydanticModel):
    """A plane, by its tail number; a stub is one that flights name and the register lacks."""

    __multi_tenant__ = False

    tailnum: str = Field(db_primary_key=True, max_length=6)
    year: int | None = Field(default=None, ge=1903, le=2013, description="year of manufacture")
    type: str | None = Field(default=None, max_length=30)
    manufacturer: str | None = Field(default=None, max_length=40, db_index=True)
    model: str | None = Field(default=None, max_length=30)
    engines: int | None = Field(default=None, ge=1, le=8)
    seats: int | None = Field(default=None, ge=1, le=900)
    speed: int | None = Field(default=None, ge=1, description="average cruising speed, miles per hour")
    engine: Literal["4 Cycle", "Reciprocating", "Turbo-fan", "Turbo-jet", "Turbo-prop", "Turbo-shaft"] | None = None
    stub: bool = False


class Weather(PydanticModel):
    """One hour of weather at an airport. The key has two fields."""

    __multi_tenant__ = False
    __table_name__ = "weather"
    __soft_delete__ = False

    origin: str = Field(db_primary_key=True, max_length=3, db_foreign_key="airports(faa)")
    time_hour: datetime = Field(db_primary_key=True)
    temp: float | None = Field(default=None, description="°F")
    dewp: float | None = Field(default=None, description="dew point, °F")
    humid: float | None = Field(default=None, ge=0, le=100, description="relative humidity, %")
    wind_dir: int | None = Field(default=None, ge=0, le=360, description="degrees")
    wind_speed: float | None = Field(default=None, ge=0, description="miles per hour; one is 1,048 in the source")
    wind_gust: float | None = Field(default=None, ge=0, description="miles per hour")
    precip: Decimal | None = Field(default=None, ge=0, max_digits=5, decimal_places=2, description="inches")
    pressure: float | None = Field(default=None, ge=800, le=1100, description="millibars at sea level")
    visib: float | None = Field(default=None, ge=0, le=10, description="miles")


class Flight(PydanticModel):
    """One flight out of New York. Times of day are local, as HHMM; delays are in minutes, None when it did not fly.

    It has no foreign key to `Weather`: 1,556 flights left in an hour for which there is no observation.
    """

    __multi_tenant__ = False

    time_hour: datetime = Field(db_primary_key=True, description="scheduled departure, the hour in UTC")
    carrier: str = Field(db_primary_key=True, max_length=2, db_foreign_key="airlines(carrier)")
    flight: int = Field(db_primary_key=True, ge=1, le=9999)
    tailnum: str | None = Field(default=None, max_length=6, db_foreign_key="planes(tailnum)")
    origin: str = Field(max_length=3, db_foreign_key="airports(faa)")
    dest: str = Field(max_length=3, db_foreign_key="airports(faa)")
    month: int = Field(ge=1, le=12)
    day: int = Field(ge=1, le=31)
    hour: int = Field(ge=0, le=23, description="scheduled departure")
    sched_dep_time: int = Field(ge=0, le=2400)
    dep_time: int | None = Field(default=None, ge=1, le=2400)
    dep_delay: int | None = Field(default=None, ge=-120)
    sched_arr_time: int = Field(ge=0, le=2400)
    arr_time: int | None = Field(default=None, ge=1, le=2400)
    arr_delay: int | None = Field(default=None, ge=-180)
    air_time: int | None = Field(default=None, ge=1)
    distance: int = Field(ge=1, description="miles")


MODELS: list[type[PydanticModel]] = [Airline, Airport, Plane, Weather, Flight]
