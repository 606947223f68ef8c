"""A shop's database: where it is, what its tables are called, and rows as Arrow. The URL is read where it is used."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import connectorx
import polars as pl
import sqlalchemy as sa

from everstay.errors import SourceError
from everstay.settings import DATABASE_VARIABLE
from everstay.sources.blocks import frame_of
from everstay.sources.columns import nearest

_EXAMPLE = "postgresql://user:password@host:5432/shop or mysql://user:password@host:3306/shop"
_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
_CONNECT_SECONDS = 10
_PANIC = "PanicException"  # raised by ConnectorX for types or values it does not know, but not exported
_CAST = "cast any column whose type cannot be read: use a SELECT instead of the table"
_QUERY = re.compile(r"\s*(select|with)\b", re.IGNORECASE)


class Database:
    """One connection for planning; rows are read by `read_rows`, in workers.

    Raises:
        SourceError: `EVERSTAY_DATABASE_URL` is absent or wrong, or no database answers.
    """

    def __init__(self) -> None:
        url = _url()
        self._place = f"the {url.get_backend_name()} database '{url.database}' at {url.host}"
        self._engine = sa.create_engine(
            url.set(drivername=_DRIVERS[url.get_backend_name()]),
            poolclass=sa.NullPool,
            connect_args={"connect_timeout": _CONNECT_SECONDS},
        )
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
        except sa.exc.SQLAlchemyError as error:
            raise SourceError(f"{self._place} {what}: {_first_line(error)}{advice}") from None


def read_rows(query: str, origin: str) -> pl.DataFrame:
    """All rows of a query, via Arrow.

    Raises:
        SourceError: the database does not answer, or refuses the query.
    """
    url = _url()
    plain = url.set(drivername="postgresql" if url.get_backend_name() == "postgresql" else "mysql")
    plain = plain.difference_update_query(["charset"])  # a usual option of Python's drivers that ConnectorX refuses
    try:
        return frame_of(connectorx.read_sql(plain.render_as_string(hide_password=False), query, return_type="arrow"))
    except BaseException as error:
        if not isinstance(error, RuntimeError) and type(error).__name__ != _PANIC:
            raise
        raise SourceError(f"{origin} cannot be read from the database: {_first_line(error)}; {_CAST}") from None


def select(columns: Sequence[str], relation: str) -> str:
    """The beginning of a query; all names are quoted already."""
    return f"SELECT {', '.join(columns)} FROM {relation}"


def _url() -> sa.URL:
    text = os.environ.get(DATABASE_VARIABLE)
    if not text:
        raise SourceError(f"the environment variable {DATABASE_VARIABLE} is not set: set it to a URL like {_EXAMPLE}")
    try:
        url = sa.make_url(text)
        backend = url.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        raise SourceError(f"{DATABASE_VARIABLE} is not a database URL: write one like {_EXAMPLE}") from None
    if backend not in _DRIVERS:
        raise SourceError(f"{DATABASE_VARIABLE} names an unsupported database '{backend}': write {_EXAMPLE}")
    return url


def _as_it_is(query: str) -> sa.TextClause:
    """SQL without parameters: a colon is a colon."""
    return sa.text(query.replace(":", r"\:"))


def _first_line(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
