"""The previous publication: each user's probability at the last as-of, to be published beside the new one."""

from datetime import datetime

import polars as pl

from everstay import tables as t
from everstay.lake import Lake
from everstay.storage import Folder

_FILE = "previous.arrow"
_DEFINITION = (t.GAP_DAYS, t.HORIZON_DAYS)
_THEN = "_then"


def previous_as_of(lake: Lake, as_of: datetime) -> datetime | None:
    """The last as-of before this one that scores are published for; None: there is none."""
    return max((moment for moment in lake.as_ofs(t.CHURN_SCORES) if moment < as_of), default=None)


def keep_previous(lake: Lake, before: datetime | None, folder: Folder) -> Folder | None:
    """Write an as-of's probabilities and what they are of where workers can read them; None: there is no such as-of."""
    if before is None:
        return None
    columns = (t.USER_ID, t.CHURN_PROBABILITY, *_DEFINITION)
    known = lake.read_publication(t.CHURN_SCORES, before, columns)
    folder.write_frame(_FILE, known.rename({t.CHURN_PROBABILITY: t.PREVIOUS_PROBABILITY}))
    return folder


def with_change(scores: pl.DataFrame, previous: Folder | None) -> pl.DataFrame:
    """Add `PREVIOUS_PROBABILITY` and `PROBABILITY_CHANGE`: null for users who had no score then.

    The change is also null when gap or horizon were others then, or are not known: probabilities of different events
    have no difference.
    """
    if previous is None:
        return scores.with_columns(
            pl.lit(None, pl.Float64).alias(name) for name in (t.PREVIOUS_PROBABILITY, t.PROBABILITY_CHANGE)
        )
    told = scores.join(previous.read_frame(_FILE), on=t.USER_ID, how="left", maintain_order="left", suffix=_THEN)
    is_same = pl.all_horizontal(pl.col(name) == pl.col(f"{name}{_THEN}") for name in _DEFINITION)
    change = pl.when(is_same).then(pl.col(t.CHURN_PROBABILITY) - pl.col(t.PREVIOUS_PROBABILITY))
    return told.with_columns(change.alias(t.PROBABILITY_CHANGE)).drop(f"{name}{_THEN}" for name in _DEFINITION)


def lacking_change(scores: pl.DataFrame) -> str:
    """Why a publication has probabilities from before and yet tells no change; empty when it tells one."""
    has_previous = pl.col(t.PREVIOUS_PROBABILITY).is_not_null()
    if scores.select(has_previous.any() & pl.col(t.PROBABILITY_CHANGE).is_null().all()).item():
        return "No change is told: what was published before was of another gap or horizon, or did not state them."
    return ""
