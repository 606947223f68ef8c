"""A fixed sample of the users, for computations that cannot use all of them."""

import polars as pl
import polars_hash
import pyarrow as pa

from everstay import tables as t

_HASHES = 2**32


def sample_share(users: int, most: int) -> float:
    """The share of `users` that gives at most `most` of them, at most 1.

    >>> sample_share(40_000, 10_000), sample_share(400, 10_000)
    (0.25, 1.0)
    """
    return min(1.0, most / max(users, 1))


def is_sampled(share: float) -> pl.Expr:
    """Whether `user_id` is in the sample of a share (0 to 1): always the same users, a subset of any larger sample.

    It uses the upper half of the hash whose remainder is the user's bucket, so that every bucket has its share.

    >>> users = pl.DataFrame({"user_id": [str(number) for number in range(1_000)]})
    >>> [users.filter(is_sampled(share)).height for share in (0.0, 0.2, 1.0)]
    [0, 204, 1000]
    """
    return polars_hash.col(t.USER_ID).nchash.xxh3_64() // _HASHES < round(share * _HASHES)


def sampled_rows(events: pa.Table, share: float) -> pa.Table:
    """Events of a share of the users; only the dictionary of their ids is hashed."""
    users = events[t.USER_ID].combine_chunks()
    chosen = pl.DataFrame({t.USER_ID: pl.from_arrow(users.dictionary)}).select(is_sampled(share)).to_series()
    return events.filter(chosen.to_arrow().take(users.indices))
