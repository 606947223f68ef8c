"""A sample of the users is the same in every run, and nothing but their ids decides who is in it."""

import polars as pl
import pytest

from everstay import tables as t
from everstay.features import is_sampled
from everstay.lake import assign_bucket

USERS = assign_bucket(pl.DataFrame({t.USER_ID: [f"user-{number}" for number in range(20_000)]}), 16)


def test_a_sample_never_changes() -> None:
    assert USERS.filter(is_sampled(0.0003))[t.USER_ID].to_list() == [
        "user-2383",
        "user-6029",
        "user-7517",
        "user-12804",
    ]


def test_a_smaller_sample_is_a_part_of_a_larger_one() -> None:
    smaller, larger = (set(USERS.filter(is_sampled(share))[t.USER_ID]) for share in (0.2, 0.3))
    assert smaller < larger
    assert not USERS.filter(is_sampled(0.0)).height
    assert USERS.filter(is_sampled(1.0)).equals(USERS)


def test_every_bucket_has_its_share() -> None:
    shares = USERS.group_by(t.USER_BUCKET).agg(is_sampled(0.2).mean().alias("share"))["share"]
    assert shares.min() == pytest.approx(0.2, abs=0.04)
    assert shares.max() == pytest.approx(0.2, abs=0.04)
