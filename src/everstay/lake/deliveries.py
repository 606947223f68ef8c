"""Which files were stored before, so that a nightly run reads only new ones."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import polars as pl

from everstay import tables as t
from everstay.lake.entities import content_key
from everstay.lake.store import Lake


def known_deliveries(lake: Lake) -> frozenset[str]:
    """The deliveries that `note_deliveries` recorded for the events that the lake holds now.

    Empty when the events table was recreated since, or holds fewer events: an older version was restored.
    """
    events, stored = lake.open(t.EVENTS), lake.read(t.DELIVERIES)
    if events is None or stored is None:
        return frozenset()
    told = stored.filter(pl.col(t.EVENTS_TABLE) == str(events.metadata().id))
    is_older = (told[t.EVENT_COUNT] > lake.snapshot().event_count).any()
    return frozenset() if is_older else frozenset(told[t.DELIVERY])


def read_otherwise(known: Collection[str], new: Mapping[str, str]) -> frozenset[str]:
    """Files that were stored before and are unchanged, but were read with other settings or other code.

    Args:
        known: from `known_deliveries`.
        new: `tables.DELIVERY` to the name of the file.
    """
    files = {delivery[: t.FILE_DIGITS] for delivery in known}
    return frozenset(name for delivery, name in new.items() if delivery[: t.FILE_DIGITS] in files)


def note_deliveries(lake: Lake, known: Collection[str], new: Mapping[str, str]) -> None:
    """Record files whose events are committed; the whole table is one file.

    Args:
        lake: that holds the events.
        known: from `known_deliveries`, before the events were committed; others are forgotten.
        new: `tables.DELIVERY` to the name of the file.
    """
    events, stored = lake.open(t.EVENTS), lake.read(t.DELIVERIES)
    if events is None or not new:
        return
    rows = t.DELIVERIES.conform(
        pl.DataFrame({t.DELIVERY: list(new), t.SOURCE_FILE: list(new.values())}).with_columns(
            pl.lit(datetime.now(UTC), t.TIME).alias(t.DELIVERED_AT),
            pl.lit(str(events.metadata().id)).alias(t.EVENTS_TABLE),
            pl.lit(lake.snapshot().event_count).alias(t.EVENT_COUNT),
        )
    )
    if stored is not None:
        rows = pl.concat([stored.filter(pl.col(t.DELIVERY).is_in(list(known))), rows])
    every = rows.unique(t.DELIVERY, keep="first").sort(t.DELIVERED_AT, t.SOURCE_FILE, t.DELIVERY)
    lake.replace(t.DELIVERIES, every, key=content_key(every))
