"""Which files were stored before, so that a night reads the night's files and not those of all nights before it."""

import polars as pl

from everstay import tables as t
from everstay.lake.entities import content_key
from everstay.lake.store import Lake


def known_deliveries(lake: Lake) -> frozenset[str]:
    """What `note_deliveries` was told; nothing where there are no events, whatever it was told."""
    stored = None if lake.open(t.EVENTS) is None else lake.read(t.DELIVERIES)
    return frozenset() if stored is None else frozenset(stored[t.DELIVERY])


def note_deliveries(lake: Lake, deliveries: pl.DataFrame) -> None:
    """Remember files whose events are committed; one file of the lake holds them all.

    Args:
        lake: that holds the events.
        deliveries: `tables.DELIVERIES`; those that are known already are left as they are.
    """
    stored = lake.read(t.DELIVERIES)
    known = t.DELIVERIES.empty() if stored is None else stored
    new = deliveries.join(known, on=t.DELIVERY, how="anti")
    if len(new):
        every = pl.concat([known, new]).sort(t.SOURCE_FILE, t.DELIVERED_AT)
        lake.replace(t.DELIVERIES, every, key=content_key(every))
