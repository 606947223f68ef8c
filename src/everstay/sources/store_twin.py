"""The store twin: a simulated online shop of any size whose truth is known.

A block of users is simulated at a time, from random numbers of its own, so memory stays bounded, blocks can be
simulated anywhere in any order, and a user's events depend neither on the number of users nor on the chunks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.errors import SourceError
from everstay.settings import StoreTwinSource
from everstay.sources.contract import stage
from everstay.sources.store_twin_catalogue import draw_catalogue
from everstay.sources.store_twin_events import simulate_events
from everstay.sources.store_twin_faults import FAULT, add_faults, draw_faults
from everstay.sources.store_twin_random import block_count
from everstay.sources.store_twin_truth import StoreTruth
from everstay.sources.store_twin_users import campaign_days, shop_users


@dataclass(frozen=True)
class StoreTwinChunk:
    """One block of users; simulated when it is read."""

    settings: StoreTwinSource
    block: int

    @property
    def origin(self) -> str:
        """The name shown to people where other sources have a file's."""
        return f"store-twin-{self.block + 1:04d}"

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield the block's staged events, in order of user and time."""
        yield self.rows().drop(FAULT)

    def rows(self) -> pl.DataFrame:
        """The block's staged events with the kind of injected fault in `FAULT`, null for a good row."""
        events, users = simulate_events(self.settings, self.block)
        faults = draw_faults(self.settings, self.block, events.height)
        is_in_shop = users < self.settings.users
        rows = add_faults(events.filter(is_in_shop), faults[is_in_shop])
        number = pl.Series(t.SOURCE_ROW, np.arange(1, rows.height + 1))
        return stage(rows.with_columns(number), self.origin).with_columns(rows[FAULT])


class StoreTwin:
    """The simulated shop as a source.

    Args:
        settings: size, length, seed and share of faults.
    """

    def __init__(self, settings: StoreTwinSource) -> None:
        self.settings = settings

    def event_chunks(self) -> Sequence[StoreTwinChunk]:
        """One chunk per block of users."""
        return [StoreTwinChunk(self.settings, block) for block in range(block_count(self.settings))]

    def items(self) -> pl.DataFrame:
        """The catalogue; conforms to `tables.ITEMS`."""
        return draw_catalogue(self.settings).frame()

    def users(self) -> pl.DataFrame:
        """What users declared, also those who never did anything; conforms to `tables.USERS`."""
        return pl.concat([shop_users(self.settings, block).frame() for block in range(block_count(self.settings))])

    def treatments(self) -> pl.DataFrame:
        """The randomised coupon campaigns, both arms; conforms to `tables.TREATMENTS`."""
        days = campaign_days(self.settings)
        blocks = range(block_count(self.settings))
        return pl.concat([shop_users(self.settings, block).treatments(days) for block in blocks])

    def truth(self) -> StoreTruth:
        """What is known about the shop that its data does not show."""
        return StoreTruth(self.settings)


def write_parquet(folder: Path, settings: StoreTwinSource) -> None:
    """Write the shop to `events-0001.parquet`, ..., `items.parquet` and `users.parquet`, one block at a time.

    The files have the columns of the canonical tables, so that the files source reads them without a mapping. An
    unparsable time is an empty cell here, for Parquet columns are typed.

    Raises:
        SourceError: `folder` holds event files already, which would become part of this shop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("events-*.parquet")):
        raise SourceError(f"{folder} holds event files already: remove them or name another folder")
    twin = StoreTwin(settings)
    twin.items().write_parquet(folder / "items.parquet")
    twin.users().write_parquet(folder / "users.parquet")
    for chunk in twin.event_chunks():
        path = folder / f"events-{chunk.block + 1:04d}.parquet"
        chunk.rows().select(*t.EVENTS.columns).write_parquet(path)
