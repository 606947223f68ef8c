"""The store twin: a simulated online shop of any size whose truth is known.

A block of users is simulated at a time, from random numbers of its own, so memory stays bounded, blocks can be
simulated anywhere in any order, and a user's events depend neither on the number of users nor on the chunks.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from everstay import tables as t
from everstay.errors import SourceError
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.catalogue import draw_catalogue
from everstay.sources.store_twin.chunk import StoreTwinChunk, open_chunks
from everstay.sources.store_twin.random import block_count
from everstay.sources.store_twin.truth import StoreTruth
from everstay.sources.store_twin.users import campaign_days, shop_users


class StoreTwin:
    """The simulated shop as a source.

    Args:
        settings: size, length, seed and share of faults.
    """

    def __init__(self, settings: StoreTwinSource) -> None:
        self.settings = settings

    def event_chunks(self) -> Sequence[StoreTwinChunk]:
        """One chunk per block of users."""
        return open_chunks(self.settings)

    def deliveries(self) -> Mapping[str, str]:
        """None: whether the data changed is only known by reading it."""
        return {}

    def items(self) -> pl.DataFrame:
        """The catalogue; conforms to `tables.ITEMS`."""
        return draw_catalogue(self.settings).frame()

    def users(self) -> pl.DataFrame:
        """What users declared, including those without any event; conforms to `tables.USERS`."""
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
