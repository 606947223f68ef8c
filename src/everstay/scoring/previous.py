"""The previous publication: each user's probability at the last as-of, to be published beside the new one."""

from datetime import datetime

import polars as pl

from everstay import tables as t
from everstay.lake import Lake
from everstay.storage import Folder

_FILE = "previous.arrow"


def previous_as_of(lake: Lake, as_of: datetime) -> datetime | None:
    """The last as-of before this one that scores are published for; None: there is none."""
    return max((moment for moment in lake.as_ofs(t.CHURN_SCORES) if moment < as_of), default=None)


def keep_previous(lake: Lake, before: datetime | None, folder: Folder) -> Folder | None:
    """Write the probabilities of an as-of where workers can read them; None when there is no such as-of."""
    if before is None:
        return None
    known = lake.read_publication(t.CHURN_SCORES, before, (t.USER_ID, t.CHURN_PROBABILITY))
    folder.write_frame(_FILE, known.rename({t.CHURN_PROBABILITY: t.PREVIOUS_PROBABILITY}))
    return folder


def with_change(scores: pl.DataFrame, previous: Folder | None) -> pl.DataFrame:
    """Add `PREVIOUS_PROBABILITY` and `PROBABILITY_CHANGE`: null for users who had no score then."""
    if previous is None:
        told = scores.with_columns(pl.lit(None, pl.Float64).alias(t.PREVIOUS_PROBABILITY))
    else:
        told = scores.join(previous.read_frame(_FILE), on=t.USER_ID, how="left", maintain_order="left")
    change = pl.col(t.CHURN_PROBABILITY) - pl.col(t.PREVIOUS_PROBABILITY)
    return told.with_columns(change.alias(t.PROBABILITY_CHANGE))
