"""A version of a table and its files: the table's log is read once a process, not once a bucket.

Opening a Delta table reads what was committed since its last checkpoint: of `events` up to a hundred nights, with a
file a bucket each. It is the same for all buckets, and a version never changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import polars as pl
from deltalake import DeltaTable

from everstay import tables as t

STATISTICS_PRECISION = timedelta(milliseconds=1)  # Delta keeps file statistics of times in milliseconds, rounded down

_KEPT = 16  # versions; a process works with one of each table


@dataclass(frozen=True)
class TableVersion:
    """One version of a table. Small and picklable.

    Attributes:
        name: of the table.
        uri: the table's.
        number: its Delta version.
        committed_at: milliseconds since 1970; tells a version from one of the same number in a table that was made
            anew or restored, for a worker may outlive the table.
    """

    name: str
    uri: str
    number: int
    committed_at: int

    @classmethod
    def of(cls, opened: DeltaTable, table: t.Table, uri: str) -> "TableVersion":
        """The version that `table` at `uri` was opened at."""
        (commit,) = opened.history(1)
        return cls(table.name, uri, opened.version(), commit["timestamp"])

    def files(self) -> tuple[str, ...]:
        """Names of all files below the lake's folder."""
        return tuple(names_below(self.name, _opened(self).file_uris()))

    def files_of_bucket(self, bucket: int, times: tuple[datetime, datetime] | None = None) -> list[str]:
        """Names of the files of one user bucket of `events`.

        Args:
            bucket: its number.
            times: the first and the last moment that a file must overlap; None: all files.
        """
        files = _by_bucket(self).get(bucket)
        if files is None:
            return []
        if times is not None:
            first, last = files[f"min.{t.OCCURRED_AT}"], files[f"max.{t.OCCURRED_AT}"] + STATISTICS_PRECISION
            files = files.filter((last >= times[0]) & (first <= times[1]))
        return sorted(f"{self.name}/{path}" for path in files["path"])

    def statistics(self) -> pl.DataFrame:
        """A row a file: `path`, `num_records`, and the lowest and highest value of columns as `min.` and `max.`."""
        return _statistics(self)


def names_below(table: str, uris: Sequence[str]) -> list[str]:
    """Names below the lake's folder of files of a table."""
    return sorted(uri[uri.rindex(f"/{table}/") + 1 :] for uri in uris)


@lru_cache(maxsize=_KEPT)
def _opened(version: TableVersion) -> DeltaTable:
    return DeltaTable(version.uri, version=version.number)


@lru_cache(maxsize=_KEPT)
def _statistics(version: TableVersion) -> pl.DataFrame:
    return pl.DataFrame(_opened(version).get_add_actions(flatten=True))


@lru_cache(maxsize=_KEPT)
def _by_bucket(version: TableVersion) -> dict[int, pl.DataFrame]:
    bucket = f"partition.{t.USER_BUCKET}"
    return {int(number): rows for (number,), rows in _statistics(version).partition_by(bucket, as_dict=True).items()}
