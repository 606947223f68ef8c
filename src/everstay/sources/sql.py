"""A shop's database: what its tables are called, and rows as Arrow. The URL is read where it is used."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import connectorx
import polars as pl
import pyarrow as pa
import sqlalchemy as sa

from everstay.errors import SourceError
from everstay.settings import DATABASE_VARIABLE
from everstay.sources.blocks import frame_of
from everstay.sources.columns import nearest
from everstay.sources.database_url import arrow_url, database_url, driver_engine

_PANIC = "PanicException"  # raised by ConnectorX for types or values it does not know, but not exported
_OF_TYPES = ("error deserializing column", "decimal scale")  # how it begins to tell of others
_CAST = "; cast any column whose type cannot be read: use a SELECT instead of the table"
_PLAIN = {bool, int, float, Decimal, str, bytes, date, datetime, time, timedelta, list, dict, type(None)}
_QUERY = re.compile(r"\s*(select|with)\b", re.IGNORECASE)


class Database:
    """One connection for planning; rows are read by `read_rows`, in workers.

    Raises:
        SourceError: `EVERSTAY_DATABASE_URL` is absent or wrong, or no database answers.
    """

    def __init__(self) -> None:
        url = database_url()
        self._place = f"the {url.get_backend_name()} database '{url.database}' at {url.host or 'a socket'}"
        self._engine = driver_engine(url)
        with self._explained("cannot be opened", f"; check {DATABASE_VARIABLE}"), self._engine.connect():
            pass

    def fetch(self, query: str) -> list[tuple[object, ...]]:
        """The rows of a query whose result is small."""
        with self._explained(), self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(_as_it_is(query))]

    def columns(self, relation: str) -> list[str]:
        """The names of the columns of `relation`."""
        with self._explained(), self._engine.connect() as connection:
            return list(connection.execute(_as_it_is(f"SELECT * FROM {relation} WHERE 1 = 0")).keys())

    def relation(self, events: str, key: str) -> str:
        """The FROM expression for a table's name or a SELECT.

        Args:
            events: for example `orders`, `shop.orders` or `SELECT ... FROM orders`.
            key: where it was set, for the message.

        Raises:
            SourceError: there is no such table or view.
        """
        if _QUERY.match(events):
            return f"({events.strip().rstrip(';')}) AS everstay_rows"
        *schema, table = events.strip().split(".")
        with self._explained():
            inspector, within = sa.inspect(self._engine), schema[-1] if schema else None
            is_there = inspector.has_table(table, within)
            known = [] if is_there else [*inspector.get_table_names(within), *inspector.get_view_names(within)]
        if not is_there:
            words = nearest(table, known) or (f"; it has {', '.join(sorted(known)[:20])}" if known else "")
            raise SourceError(f"{self._place} has no table '{events}'{words}; correct {key} in the settings")
        return ".".join(self.quoted(part) for part in (*schema, table))

    def quoted(self, name: str) -> str:
        """A name, quoted for the database's SQL."""
        return str(self._engine.dialect.identifier_preparer.quote_identifier(name))

    @contextmanager
    def _explained(self, what: str = "rejects a query", advice: str = "") -> Iterator[None]:
        """Turn the driver's errors into messages for a person."""
        try:
            yield
        except (sa.exc.SQLAlchemyError, OSError) as error:  # the latter of a certificate that is no file, or none
            raise SourceError(f"{self._place} {what}: {_first_line(error)}{advice}") from None


def read_rows(query: str, origin: str) -> pl.DataFrame:
    """All rows of a query, via Arrow: by ConnectorX, or where it lacks an option of the URL by Python's driver.

    Raises:
        SourceError: the database does not answer, refuses the query, or has a type that cannot be read.
    """
    url = database_url()
    address = arrow_url(url)
    try:
        if address is None:
            return frame_of(_read_by_driver(url, query))
        return frame_of(connectorx.read_sql(address, query, return_type="arrow"))
    except BaseException as error:
        is_panic = type(error).__name__ == _PANIC
        if not isinstance(error, RuntimeError | sa.exc.SQLAlchemyError | OSError) and not is_panic:
            raise
        said = _first_line(error)
        is_of_types = is_panic or isinstance(error, sa.exc.DataError) or said.startswith(_OF_TYPES)
        advice = _CAST if is_of_types else ""
        raise SourceError(f"{origin} cannot be read from the database: {said}{advice}") from None


def _read_by_driver(url: sa.URL, query: str) -> pa.Table:
    with driver_engine(url).connect() as connection:
        result = connection.execute(_as_it_is(query))
        names, rows = list(result.keys()), result.all()
    return pa.Table.from_arrays([_as_arrow([row[place] for row in rows]) for place in range(len(names))], names)


def _as_arrow(values: list[object]) -> pa.Array:
    """Values of a driver (n,) in their own Arrow type; as text where Arrow has none, such as for MySQL's zero dates."""
    try:
        if _PLAIN.issuperset(map(type, values)):
            return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        pass
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def select(columns: Sequence[str], relation: str) -> str:
    """The beginning of a query; all names are quoted already."""
    return f"SELECT {', '.join(columns)} FROM {relation}"


def _as_it_is(query: str) -> sa.TextClause:
    """SQL without parameters: a colon is a colon."""
    return sa.text(query.replace(":", r"\:"))


def _first_line(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
