"""Published tables: one as-of is read without reading all earlier ones."""

from datetime import datetime

import polars as pl
from deltalake import DeltaTable

from everstay import tables as t
from everstay.lake.snapshot import in_declared_order
from everstay.lake.table_version import names_below
from everstay.storage import Folder


class Publications:
    """A table in which each publication has files of its own, as `Lake.publish_parts` writes them.

    Its log is read once.

    A file that holds several as-ofs, as left by deleting some rows, is read when needed.

    Args:
        lake: the folder.
        table: with an `as_of`.
        delta: at the version wanted.
    """

    def __init__(self, lake: Folder, table: t.Table, delta: DeltaTable) -> None:
        self._lake, self._table = lake, table
        adds = pl.DataFrame(delta.get_add_actions(flatten=True))
        low, high = pl.col(f"min.{t.AS_OF}"), pl.col(f"max.{t.AS_OF}")
        self._files = adds.select(
            "path", low.alias("low"), high.alias("high"), (low != high).fill_null(True).alias("mixed")
        )
        self._names = {name.removeprefix(f"{table.name}/"): name for name in names_below(table.name, delta.file_uris())}

    def as_ofs(self) -> list[datetime]:
        """The published as-ofs, oldest first."""
        mixed = [self._read(path, [t.AS_OF])[t.AS_OF] for path in self._files.filter("mixed")["path"]]
        return pl.concat([self._files.filter(~pl.col("mixed"))["low"], *mixed]).unique().sort().to_list()

    def read(self, as_of: datetime, columns: list[str]) -> pl.DataFrame:
        """Rows of one as-of; no rows where there is none."""
        holds = (pl.col("low") <= as_of) & (pl.col("high") >= as_of)
        paths = self._files.filter(holds.fill_null(value=True))["path"]
        wanted = list(dict.fromkeys([*columns, t.AS_OF]))
        frames = [self._read(path, wanted).filter(pl.col(t.AS_OF) == as_of) for path in paths]
        rows = pl.concat(frames, how="diagonal") if frames else self._table.empty()
        return in_declared_order(rows, self._table).select(columns)

    def _read(self, path: str, columns: list[str]) -> pl.DataFrame:
        return self._lake.read_parquet(self._names[path], columns)
