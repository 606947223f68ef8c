"""What a Dask worker needs to score a bucket, and the model it keeps between buckets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import pyarrow as pa

from everstay import tables as t
from everstay.registry.artifact import load_artifact


class EventReader(Protocol):
    """The interface of the data's reader; `everstay.lake.Snapshot` is one."""

    @property
    def buckets(self) -> range:
        """Numbers of the user buckets."""

    @property
    def data_version(self) -> str:
        """Identifies the data that is read."""

    def read_events(self, bucket: int, as_of: datetime, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """One bucket's events that occurred and were recorded before `as_of`."""

    def read_coded(self, bucket: int, as_of: datetime, columns: Sequence[str]) -> pa.Table:
        """The same with ids and types as dictionaries, users' codes ascending."""

    def read(self, table: t.Table) -> pl.DataFrame:
        """A small table."""


@dataclass(frozen=True)
class Work:
    """One scoring: small and picklable.

    Attributes:
        reader: of events and items.
        artifact: the champion's artifact folder, where every worker can read it.
        model_version: the champion's, written on each row.
        as_of: a midnight UTC; nothing later is known.
    """

    reader: EventReader
    artifact: Path
    model_version: str
    as_of: datetime

    def load_model(self) -> Any:
        """The model; loaded once per process, for the files of a logged artifact never change."""
        return _load(self.artifact)

    def stamp(self) -> list[pl.Expr]:
        """The columns that say what a row was made from."""
        return [
            pl.lit(self.model_version).alias(t.MODEL_VERSION),
            pl.lit(self.reader.data_version).alias(t.DATA_VERSION),
        ]


@lru_cache(maxsize=2)
def _load(artifact: Path) -> Any:
    return load_artifact(artifact)
