"""Which bucket a user lives in: a hash that is the same in every process, on every machine, in every year."""

import polars as pl
import polars_hash

from everstay import tables as t


def assign_bucket(frame: pl.DataFrame, bucket_count: int) -> pl.DataFrame:
    """Add column `user_bucket` (0 to `bucket_count` - 1) from `user_id`.

    XXH3, because Polars does not keep its own hash stable across versions.

    >>> assign_bucket(pl.DataFrame({"user_id": ["a", "b", "a"]}), 5)["user_bucket"].to_list()
    [4, 0, 4]
    """
    hashed = polars_hash.col(t.USER_ID).nchash.xxh3_64()
    return frame.with_columns((hashed % bucket_count).cast(pl.Int32).alias(t.USER_BUCKET))
