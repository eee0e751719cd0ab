"""The main job, end to end: tables from models, real data in bulk, typed queries, updates, a sync that changes nothing.

    python main.py                        the 15th of each month, into ./quickstart.db
    python main.py --all                  all 336,776 flights of 2013, downloaded once
    python main.py --url sqlite://:memory:
    python main.py --url postgresql://user:password@localhost/flights

Read it from `main` at the end; what is printed is in `show.py`, what is read from files in `source.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import show
import source
from models import MODELS, Airline, Airport, Flight, Plane, Weather

from ff_storage import (
    AsyncSchemaManager,
    ForeignKeyViolation,
    PydanticRepository,
    Query,
    StorageError,
    Transaction,
    bulk_insert,
    col,
    func,
    open_pool,
)

DEFAULT = Path("quickstart.db")


async def create_tables(pool: Any) -> None:
    """Bring the database to the models. A table that is there already is compared, never changed silently."""
    with show.step("Synchronize the schema") as step:
        changes = await AsyncSchemaManager(pool).sync_schema(MODELS)
        step.text += f": {changes} statements" if changes else ": nothing to change"


async def load(db: Any, *, everything: bool) -> None:
    """Insert all records, parents first, each checked by its model once; `db` is a pool or a transaction."""
    if everything:
        with show.step("All flights of 2013") as step:
            downloaded = await asyncio.to_thread(source.fetch_flights)
            step.text += ": downloaded" if downloaded else ": in the cache"
    airports, planes = list(source.shipped("airports.csv")), list(source.shipped("planes.csv"))
    with show.step("Read the flights once, for what the other tables lack"):
        # Foreign keys hold in the database, so whatever a flight names must be there: as a marked stub, if need be.
        found = source.survey(source.flights(everything=everything), planes, airports)
    with show.step("Airlines, airports, planes, weather") as step:
        counts = [
            await bulk_insert(Airline, source.shipped("airlines.csv"), db),
            await bulk_insert(Airport, airports, db),
            await bulk_insert(Plane, planes, db),
            await bulk_insert(Weather, source.shipped("weather.csv.gz"), db),
        ]
        step.text += f": {', '.join(f'{count:,}' for count in counts)}"
    with show.step(f"Stubs: {len(found.planes):,} planes for {found.planes.total():,} flights") as step:
        step.text += f", {len(found.airports)} airports for {found.airports.total():,}"
        await bulk_insert(Plane, [Plane(tailnum=name, stub=True) for name in found.planes], db)
        await bulk_insert(Airport, [Airport(faa=name, stub=True) for name in found.airports], db)
    with show.step("Flights") as step:
        records = show.progress(source.flights(everything=everything), found.flights, "Flights")
        count = await bulk_insert(Flight, records, db)
        step.text += f": {count:,}"
    nameless = await Query(Flight).filter(col(Flight.tailnum).is_null()).count(db)
    show.note(f"{nameless:,} flights have no tail number")


@dataclass
class Route:
    """What the first query yields: any dataclass, TypedDict or Pydantic model will do."""

    origin: str
    dest: str
    flights: int
    miles: int


async def ask(pool: Any) -> None:
    """Six questions. A type checker knows what each result holds, and that `Flight.orgin` does not exist."""
    with show.step("Which routes are the busiest?"):
        routes = await (
            Query(Flight)
            .select(
                Flight.origin,
                Flight.dest,
                col(func.count()).label("flights"),
                col(func.max(Flight.distance)).label("miles"),
            )
            .group_by(Flight.origin, Flight.dest)
            .order_by(col(func.count()).desc(), Flight.dest)
            .limit(5)
            .into(Route)
            .execute(pool)
        )
    show.table(("route", "flights", "miles"), [(f"{r.origin} → {r.dest}", r.flights, r.miles) for r in routes])

    with show.step("How late does each airline arrive, with 100 flights or more?"):
        names = {airline.carrier: airline.name for airline in await Query(Airline).execute(pool)}
        carriers = await (
            Query(Flight)
            .filter(col(Flight.arr_delay).is_not_null())
            .select(Flight.carrier, func.count(), func.avg(Flight.arr_delay), func.max(Flight.arr_delay))
            .group_by(Flight.carrier)
            .having(func.count() >= 100)
            .order_by(col(func.avg(Flight.arr_delay)).desc())
            .execute(pool)
        )
    show.table(
        ("airline", "flights", "mean delay, min", "worst"),
        [(names[carrier], count, mean, worst) for carrier, count, mean, worst in carriers],
    )

    with show.step("When should one leave?"):
        hours = await (
            Query(Flight)
            .filter(col(Flight.dep_delay).is_not_null())
            .select(Flight.hour, func.avg(Flight.dep_delay))
            .group_by(Flight.hour)
            .order_by(Flight.hour)
            .execute(pool)
        )
    show.table(("hour", "mean delay, min", ""), [(hour, mean, "▇" * round(mean or 0)) for hour, mean in hours])

    with show.step("Which departures were the worst?"):
        worst = await (
            Query(Flight)
            .filter(col(Flight.dep_delay) > 60, col(Flight.origin).in_(["JFK", "LGA", "EWR"]))
            .order_by(col(Flight.dep_delay).desc())
            .limit(3)
            .execute(pool)
        )
    show.table(
        ("flight", "route", "scheduled hour", "hours late"),
        [(f"{f.carrier} {f.flight}", f"{f.origin} → {f.dest}", f.time_hour, (f.dep_delay or 0) / 60) for f in worst],
    )

    with show.step("How many were canceled, and in which month most?"):
        canceled = Query(Flight).filter(col(Flight.dep_time).is_null())
        total = await canceled.count(pool)
        months = canceled.select(Flight.month, func.count()).group_by(Flight.month)
        month, most = await months.order_by(col(func.count()).desc()).limit(1).one(pool)
    show.note(f"{total:,} canceled; most in month {month}: {most:,}")

    with show.step("How far did all of them fly? Every row, one by one, in little memory"):
        miles = 0
        async with Query(Flight).stream(pool) as flights:
            async for flight in flights:
                miles += flight.distance if flight.air_time else 0
    show.note(f"{miles:,} miles, {miles / 24_901:,.0f} times around the Earth")


async def change(pool: Any) -> None:
    """Updates, a deletion that the database's references refuse, and one that is taken back."""
    planes, flights = PydanticRepository(Plane, pool), PydanticRepository(Flight, pool)
    early = await Query(Flight).filter(col(Flight.tailnum).is_not_null()).order_by("time_hour").limit(100).execute(pool)
    flown = {flight.tailnum: flight for flight in early}
    boeing = Query(Plane).filter(Plane.manufacturer == "BOEING", col(Plane.tailnum).in_(list(flown)))
    plane = await boeing.order_by(Plane.tailnum).first(pool)
    assert plane is not None  # noqa: S101 - there always is one
    flight = flown[plane.tailnum]
    key = (flight.time_hour, flight.carrier, flight.flight)

    with show.step(f"Update plane {plane.tailnum}: only what changed is written") as step:
        before, plane.seats = plane.seats, 200
        plane = await planes.update(plane.tailnum, plane)
        step.text += f" (seats: {before} → {plane.seats})"

    with show.step("Delete it: refused, since it has flights"):
        try:
            await planes.delete(plane.tailnum)
            refusal = ""
        except ForeignKeyViolation as error:
            refusal = str(error)
    show.note(refusal)

    with show.step(f"Delete flight {flight.carrier} {flight.flight} softly, and restore it"):
        await flights.delete(key)
        assert await flights.get(key) is None  # noqa: S101
        restored = await flights.restore(key)
        assert restored is not None  # noqa: S101

    with show.step("Change two tables in one transaction, and roll it back") as step:
        try:
            async with Transaction(pool) as transaction:
                restored.dep_delay = 999
                await flights.update(key, restored, connection=transaction)
                await planes.create(Plane(tailnum=plane.tailnum), connection=transaction)  # the key is taken
        except StorageError as error:
            step.text += f" ({type(error).__name__})"
        again = await flights.get(key)
        assert again is not None and again.dep_delay == flight.dep_delay  # noqa: PT018, S101


async def main(url: str, *, everything: bool) -> None:
    """Run all of it on the database at `url`."""
    async with open_pool(url) as pool:
        show.heading("Tables")
        await create_tables(pool)
        if await Query(Flight).include_deleted().exists(pool):
            show.note("This database has flights already; none are loaded.")
        else:
            show.heading("Data")
            # One transaction, so that a run which is stopped here leaves nothing that the next would stumble over.
            async with Transaction(pool) as transaction:
                await load(transaction, everything=everything)
        show.heading("Questions")
        await ask(pool)
        show.heading("Changes")
        await change(pool)
        show.heading("Tables again")
        await create_tables(pool)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Flights out of New York in 2013, in a database of your choice.")
    parser.add_argument("--url", help="the database; the default is a new SQLite file, ./quickstart.db")
    parser.add_argument("--all", action="store_true", help="all 336,776 flights instead of the shipped 11,317")
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    if options.url is None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{DEFAULT}{suffix}").unlink(missing_ok=True)
    try:
        asyncio.run(main(f"sqlite:///{DEFAULT}" if options.url is None else options.url, everything=options.all))
    except (source.DownloadError, StorageError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nstopped")
    if options.url is None:
        print(f"\nThe database is {DEFAULT.resolve()}.")
