"""What a pass over events retains: hashes for distinct counts, and all events of a sample of users."""

import polars as pl

from everstay import tables as t
from everstay.lake.bucket_files import WHAT_IT_IS

_MOST_ROWS = 1_000_000
_EVENT_HASH, _ROW_HASH = "event_hash", "row_hash"
_COLUMNS = (t.USER_ID, t.ORDER_ID, t.EVENT_TYPE, t.OCCURRED_AT, t.RECORDED_AT, t.QUANTITY, t.AMOUNT)


class Distinct:
    """Counts distinct values by their 64-bit hashes, eight bytes each.

    >>> seen = Distinct()
    >>> seen.add(pl.Series(["a", "b", None]))
    >>> seen.add(pl.Series(["b", "c"]))
    >>> seen.count
    3
    """

    def __init__(self) -> None:
        self._hashes = pl.Series([], dtype=pl.UInt64)

    def add(self, values: pl.Series) -> None:
        """Take more values; nulls do not count."""
        self._hashes = pl.concat([self._hashes, values.drop_nulls().unique().hash()]).unique()

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self._hashes)


class UserSample:
    """All events of every user, or of one in 2, 4, 8, ... when they become more than `most_rows`.

    A hash of the user decides who is kept, so a kept user's events are complete.
    """

    def __init__(self, most_rows: int = _MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self.one_in = 1
        """One in how many users is kept."""

    def add(self, events: pl.DataFrame) -> None:
        """Take more events, with the columns of `tables.EVENTS`; anonymous ones are left out."""
        event, row = pl.col(t.EVENT_ID).hash(), pl.struct(t.EVENT_ID, *WHAT_IT_IS).hash()
        known = events.filter(~t.is_anonymous()).select(*_COLUMNS, event.alias(_EVENT_HASH), row.alias(_ROW_HASH))
        self._keep([*self._frames, self._chosen(known)])
        while self._rows > self._most_rows:
            self.one_in *= 2
            self._keep([self._chosen(frame) for frame in self._frames])

    def events(self) -> pl.DataFrame:
        """Their events, each one once."""
        if not self._frames:
            return t.EVENTS.empty().select(_COLUMNS)
        recorded = pl.concat(self._frames).sort(t.RECORDED_AT, maintain_order=True)
        once = recorded.unique(_EVENT_HASH, keep="first", maintain_order=True)
        return once.drop(_EVENT_HASH, _ROW_HASH)

    @property
    def repeated_share(self) -> float:
        """The share of rows that repeat another one in all that tells events apart."""
        return 1 - self._different(_ROW_HASH) / self._rows if self._rows else 0.0

    @property
    def conflict_share(self) -> float:
        """The share of rows that reuse the id of another one with different content."""
        return (self._different(_ROW_HASH) - self._different(_EVENT_HASH)) / self._rows if self._rows else 0.0

    def _different(self, hashes: str) -> int:
        return pl.concat([frame[hashes] for frame in self._frames]).n_unique()

    def _chosen(self, events: pl.DataFrame) -> pl.DataFrame:
        return events.filter(pl.col(t.USER_ID).hash() % self.one_in == 0) if self.one_in > 1 else events

    def _keep(self, frames: list[pl.DataFrame]) -> None:
        self._frames, self._rows = frames, sum(frame.height for frame in frames)
