"""A version of a table and its files: a worker reads the table's log once, not once per bucket.

Opening a Delta table replays the commits since its last checkpoint: for `events` up to a hundred nights, each with one
file per bucket. A version never changes, so all buckets can share the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import polars as pl
from deltalake import DeltaTable

from everstay import tables as t

STATISTICS_PRECISION = timedelta(milliseconds=1)  # Delta keeps file statistics of times in milliseconds, rounded down

_KEPT = 8  # versions; a process uses one of each of four tables, before and after an ingestion
_BUCKET = f"partition.{t.USER_BUCKET}"
_STATISTICS = {
    "path", "num_records", _BUCKET, f"min.{t.OCCURRED_AT}", f"max.{t.OCCURRED_AT}", f"max.{t.RECORDED_AT}",
}  # fmt: skip


@dataclass(frozen=True)
class TableVersion:
    """One version of a table. Small and picklable.

    Attributes:
        name: of the table.
        uri: the table's.
        number: its Delta version.
        committed_at: milliseconds since 1970; tells a version from the same number in a table that was recreated or
            restored, as a worker may outlive the table.
    """

    name: str
    uri: str
    number: int
    committed_at: int

    @classmethod
    def of(cls, opened: DeltaTable, table: t.Table, uri: str) -> "TableVersion":
        """The version that `table` at `uri` was opened at."""
        own = opened.history(1)[-1]  # commits that were made since it was opened come before it
        return cls(table.name, uri, opened.version(), own["timestamp"])

    def files(self) -> tuple[str, ...]:
        """Names of all files below the lake's folder."""
        return _log(self).files

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
        """One row per file: `path`, `num_records`, and for events the first and last times as `min.` and `max.`."""
        return _log(self).statistics


def names_below(table: str, uris: Sequence[str]) -> list[str]:
    """A table's files as sorted names relative to the lake's folder."""
    return sorted(uri[uri.rindex(f"/{table}/") + 1 :] for uri in uris)


class _Log(NamedTuple):
    files: tuple[str, ...]
    statistics: pl.DataFrame


@lru_cache(maxsize=_KEPT)
def _log(version: TableVersion) -> _Log:
    """A version's files and statistics from the log; only those used are kept, as a worker may live for many nights."""
    opened = DeltaTable(version.uri, version=version.number)
    statistics = pl.DataFrame(opened.get_add_actions(flatten=True))
    kept = [name for name in statistics.columns if name in _STATISTICS]
    return _Log(tuple(names_below(version.name, opened.file_uris())), statistics.select(kept))


@lru_cache(maxsize=1)
def _by_bucket(version: TableVersion) -> dict[int, pl.DataFrame]:
    return {
        int(number): rows for (number,), rows in _log(version).statistics.partition_by(_BUCKET, as_dict=True).items()
    }
