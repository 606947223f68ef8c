"""Churn by segment: who left of the users in each lifecycle state and each declared group."""

from collections.abc import Iterator

import polars as pl

from everstay import tables as t
from everstay.metrics.proportion import share_interval

SEGMENT, GROUP, USERS, LEFT, SHARE, LOW, HIGH = "segment", "group", "users", "left", "share", "low", "high"

LIFECYCLE = "lifecycle_state"
STATES = {0: "no order yet", 1: "new", 2: "active", 3: "slipping", 4: "lapsed", 5: "won back"}
"""What the feature's numbers stand for."""
ATTRIBUTES = (t.AGE_BAND, t.INCOME_BAND, t.HOUSEHOLD_SIZE)

_CONFIDENCE = 0.9
_UNKNOWN = "not declared"


def churn_by_segment(labels: pl.DataFrame, features: pl.DataFrame, users: pl.DataFrame, min_users: int) -> pl.DataFrame:
    """Shares that left, with their 90% intervals.

    Args:
        labels: `tables.CHURN_LABELS` of one as-of.
        features: `USER_ID` and `lifecycle_state` at the same as-of.
        users: `tables.USERS`; an attribute that nobody declared gives no rows.
        min_users: smaller groups of a declared attribute give no row: it would be noise, and could identify persons.

    Returns:
        `SEGMENT`, `GROUP`, `USERS`, `LEFT`, `SHARE`, `LOW`, `HIGH`; the first row is everybody.
    """
    state = pl.col(LIFECYCLE).cast(pl.Int64).replace_strict(STATES, return_dtype=pl.String)
    known = labels.select(t.USER_ID, t.CHURNED).join(features.select(t.USER_ID, state), on=t.USER_ID, how="left")
    known = known.join(users.select(t.USER_ID, *ATTRIBUTES), on=t.USER_ID, how="left")
    rows = [_row("everybody", "", known)]
    for segment in (LIFECYCLE, *ATTRIBUTES):
        if known[segment].null_count() < len(known):
            rows += list(_rows(segment, known, 1 if segment == LIFECYCLE else min_users))
    return pl.DataFrame(rows, schema=[SEGMENT, GROUP, USERS, LEFT, SHARE, LOW, HIGH], orient="row")


def _rows(segment: str, known: pl.DataFrame, min_users: int) -> Iterator[tuple[object, ...]]:
    named = known.with_columns(pl.col(segment).fill_null(_UNKNOWN)).sort(segment)
    for (group,), members in named.group_by(segment, maintain_order=True):
        if len(members) >= min_users:
            yield _row(segment, str(group), members)


def _row(segment: str, group: str, members: pl.DataFrame) -> tuple[object, ...]:
    left = int(members[t.CHURNED].sum())
    if members.is_empty():
        return segment, group, 0, 0, None, None, None
    share = share_interval(left, len(members), _CONFIDENCE)
    return segment, group, len(members), left, share.value, share.low, share.high
