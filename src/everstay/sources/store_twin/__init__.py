"""The store twin: a simulated shop whose truth is known, seeded, of any size, streamed block of users by block."""

from everstay.sources.store_twin.shop import StoreTwin, write_parquet

__all__ = ["StoreTwin", "write_parquet"]
