"""Lakes with the same past and different futures: for a sample of users, what was unknown as of a moment is changed.

Whatever is computed as of that moment must be bit-identical in all of them: that proves that nothing leaks.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from everstay import tables as t
from everstay.lake.ingest import commit_staged, stage_events
from everstay.lake.refusal import MOST_MONEY
from everstay.lake.snapshot import Snapshot
from everstay.lake.store import Lake
from everstay.partitions import IN_PROCESS
from everstay.storage import Folder

AS_IT_IS = "as it is"
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)

_SHARE = 0.5  # of the known events, copied into a changed future
_DELIVERIES, _BUCKETS = 3, 2

Change = Callable[[pl.DataFrame, datetime, int], pl.DataFrame]


@dataclass(frozen=True)
class FrameChunk:
    """Events in memory as a delivery."""

    origin: str
    events: pl.DataFrame

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield them as one frame of staged events."""
        nothing = pl.lit(None, pl.String)
        yield self.events.with_columns(
            pl.lit(self.origin).alias(t.SOURCE_FILE),
            pl.int_range(1, pl.len() + 1).alias(t.SOURCE_ROW),
            nothing.alias(t.PROBLEM),
            nothing.alias(t.CONTENT),
        )


def sample_events(snapshot: Snapshot, most_events: int) -> pl.DataFrame:
    """All stored events of a sample of users, about `most_events`: the first buckets, thinned by user if more.

    Anonymous events are in it, thinned in the same way: items are counted from them too.
    """
    frames, count = [], 0
    for bucket in snapshot.buckets:
        frames.append(snapshot.read_events(bucket, END_OF_TIME, with_anonymous=True))
        count += len(frames[-1])
        if count >= most_events:
            break
    events = pl.concat(frames)
    if count <= most_events:
        return events
    users = events[t.USER_ID].unique().sort()
    share = users.gather_every(max(1, count // most_events))
    return events.filter(pl.col(t.USER_ID).is_in(share.implode()))


def write_futures(snapshot: Snapshot, as_of: datetime, uri: str, *, most_events: int, seed: int) -> dict[str, Snapshot]:
    """Write a lake for each future of a sample of users.

    Items and users are whole: what the shop declares of any user is asked of all, and few may declare it.

    Args:
        snapshot: the real data, with its real future.
        as_of: only what is not known before it is changed.
        uri: folder of the lakes; what it held before is removed.
        most_events: approximate size of the sample.
        seed: of the random draws.

    Returns:
        Name of the future to the lake's snapshot; the first is `AS_IT_IS`.
    """
    Folder(uri).clear()
    events = sample_events(snapshot, most_events)
    entities = [(table, snapshot.read(table)) for table in (t.ITEMS, t.USERS)]
    futures = {}
    for number, (name, change) in enumerate(FUTURES.items()):
        lake = Lake(f"{uri}/future-{number}", _BUCKETS)
        changed = change(events, as_of, seed)
        parts = [FrameChunk(f"{name} {part}", changed[part::_DELIVERIES]) for part in range(_DELIVERIES)]
        commit_staged(stage_events(lake, parts, IN_PROCESS, max_quarantined_share=0.0))
        for table, frame in entities:
            lake.replace(table, frame, key="same")
        futures[name] = lake.snapshot()
    return futures


def _same(events: pl.DataFrame, as_of: datetime, seed: int) -> pl.DataFrame:  # noqa: ARG001
    return events


def _deleted(events: pl.DataFrame, as_of: datetime, seed: int) -> pl.DataFrame:  # noqa: ARG001
    return events.filter(_is_known(as_of))


def _appended(events: pl.DataFrame, as_of: datetime, seed: int) -> pl.DataFrame:
    """Repeat half of the past as purchases at three times the price, within a day after the as-of: none lies ahead."""
    copies, moment = _copies(events, as_of, seed), pl.lit(as_of, t.TIME)
    ago = (moment - pl.col(t.OCCURRED_AT)).dt.total_microseconds()
    later = pl.duration(microseconds=(ago / ago.max() * timedelta(days=1).total_seconds() * 1e6).cast(pl.Int64))
    again = copies.with_columns(
        (moment + later).alias(t.OCCURRED_AT),
        pl.lit(t.PURCHASE).alias(t.EVENT_TYPE),
        (3 * pl.col(t.AMOUNT) + 1).clip(upper_bound=MOST_MONEY).alias(t.AMOUNT),
        pl.lit(1, pl.Int32).alias(t.QUANTITY),
    )
    return pl.concat([events, again.with_columns(pl.col(t.OCCURRED_AT).alias(t.RECORDED_AT))])


def _back_dated(events: pl.DataFrame, as_of: datetime, seed: int) -> pl.DataFrame:
    """Repeat half of the past an hour earlier, recorded only after the as-of."""
    late = pl.lit(as_of, t.TIME) + timedelta(days=1)
    twice = _copies(events, as_of, seed).with_columns(
        (pl.col(t.OCCURRED_AT) - timedelta(hours=1)).alias(t.OCCURRED_AT), late.alias(t.RECORDED_AT)
    )
    return pl.concat([events, twice])


def _shuffled(events: pl.DataFrame, as_of: datetime, seed: int) -> pl.DataFrame:
    """Permute users and items among the later events, and shuffle all rows."""
    known, later = events.filter(_is_known(as_of)), events.filter(~_is_known(as_of))
    drawn = [later[name].sample(fraction=1, shuffle=True, seed=seed) for name in (t.USER_ID, t.ITEM_ID)]
    return pl.concat([known, later.with_columns(drawn)]).sample(fraction=1, shuffle=True, seed=seed)


def _copies(events: pl.DataFrame, as_of: datetime, seed: int) -> pl.DataFrame:
    copied = events.filter(_is_known(as_of)).sample(fraction=_SHARE, seed=seed)
    return copied.with_columns((pl.col(t.EVENT_ID) + pl.lit("-copy")).alias(t.EVENT_ID))


def _is_known(as_of: datetime) -> pl.Expr:
    return (pl.col(t.OCCURRED_AT) < as_of) & (pl.col(t.RECORDED_AT) < as_of)


FUTURES: Mapping[str, Change] = {
    AS_IT_IS: _same,
    "later events deleted": _deleted,
    "later events appended": _appended,
    "late records back-dated": _back_dated,
    "later events permuted": _shuffled,
}
