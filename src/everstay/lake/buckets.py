"""Which bucket a user lives in: a hash that is the same in every process, on every machine, in every year."""

import pandas as pd
import polars as pl

from everstay import tables as t


def assign_bucket(frame: pl.DataFrame, bucket_count: int) -> pl.DataFrame:
    """Add column `user_bucket` (0 to `bucket_count` - 1) from `user_id`.

    Pandas' keyed SipHash is used because Polars does not promise its own hash between versions.

    >>> assign_bucket(pl.DataFrame({"user_id": ["a", "b", "a"]}), 4)["user_bucket"].to_list()
    [0, 3, 0]
    """
    users = frame[t.USER_ID].unique()
    hashes = pd.util.hash_array(users.to_numpy().astype(object), categorize=False)
    buckets = pl.DataFrame({t.USER_ID: users, t.USER_BUCKET: (hashes % bucket_count).astype("int32")})
    return frame.join(buckets, on=t.USER_ID, how="left", maintain_order="left")
