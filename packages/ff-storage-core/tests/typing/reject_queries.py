"""Misspelled fields, values of the wrong type and steps that do not exist are errors before anything runs."""

from decimal import Decimal

from ff_storage import Field, PydanticModel, PydanticRepository, Query, SQLitePool, func


class Product(PydanticModel):
    """A model."""

    name: str = Field(max_length=50)
    price: Decimal = Field(gt=0)


async def mistakes(pool: SQLitePool) -> None:
    """One a line."""
    Query(Product).filter(Product.prise > 100)  # error
    Query(Product).filter(Product.price > "100")  # error
    Query(Product).filter("price > 100")  # error
    Query(Product).select(Product.nme)  # error
    Query(Product).limit("10")  # error
    Query(Product).group(Product.name)  # error
    func.median(Product.price)  # error
    number: int = await Query(Product).one(pool)  # error
    rows: list[tuple[int]] = await Query(Product).select(Product.name).execute(pool)  # error
    repository = PydanticRepository(Product, pool)
    await repository.create("Lamp")  # error
    await repository.update("id", number)  # error
    await repository.list(limit="1")  # error
    del rows
