"""A block of the store twin's users as a chunk of a source: staged events, with faults where they are asked for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.contract import stage
from everstay.sources.store_twin.events import simulate_events
from everstay.sources.store_twin.faults import FAULT, add_faults, draw_faults
from everstay.sources.store_twin.random import block_count


@dataclass(frozen=True)
class StoreTwinChunk:
    """One block of users; simulated when it is read."""

    settings: StoreTwinSource
    block: int

    @property
    def origin(self) -> str:
        """The name shown to people in place of a file's."""
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


def open_chunks(settings: StoreTwinSource) -> list[StoreTwinChunk]:
    """The chunks of the whole shop, one per block of users."""
    return [StoreTwinChunk(settings, block) for block in range(block_count(settings))]
