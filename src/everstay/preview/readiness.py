"""Whether a source brings enough to learn from, by the same rules as later, and what to do if it does not."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal

import polars as pl

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features import churn_labels, last_judged_as_of, time_split
from everstay.preview.survey import Survey
from everstay.settings import Churn, Settings

_FEW_USERS = 500  # below it the intervals of every figure are wide
_FEWEST_OF_A_KIND = 20  # leavers or stayers: below it there is nothing to learn from
_RARE, _COMMON = 0.02, 0.6  # a churn rate outside these is seldom what a shop means by leaving
_MOST_WITHOUT_ITEM = 0.01
_AFTER = timedelta(milliseconds=1)  # the lake's log ends after its newest event


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Attributes:
        question: what is asked.
        verdict: `good`; `look`: it works, but look at it; or `stop`: it does not work.
        words: the answer, and what to do.
    """

    question: str
    verdict: Literal["good", "look", "stop"]
    words: str


def check_readiness(survey: Survey, settings: Settings) -> list[Check]:
    """Run all checks; without any event, only those of refused rows, ids, other tables and purchases."""
    most = settings.source.max_quarantined_share
    checks = [_check_refused(survey, most), *_check_ids(survey, most), *_check_entities(survey)]
    checks.append(_check_purchases(survey))
    if survey.first_at is None or survey.recorded_until is None:
        return checks
    ends_at = survey.recorded_until + _AFTER
    as_of = last = last_judged_as_of(ends_at, settings.churn, settings.recommender.horizon_days)
    if settings.as_of is not None:
        as_of = datetime.combine(settings.as_of, time(), UTC)
    if as_of > last:
        words = f"as_of is {as_of:%Y-%m-%d}, but who left and what was bought next is only known up to "
        words += f"{last:%Y-%m-%d}: set an earlier as_of, or remove it to use that one"
        return [*checks, Check("Are the outcomes known?", "stop", words)]
    checks.append(_check_history(survey.first_at, ends_at, as_of, settings.churn))
    return [*checks, *_check_labels(survey, as_of, ends_at, settings.churn)]


def _check_refused(survey: Survey, most: float) -> Check:
    share = survey.rows_refused / survey.rows_read if survey.rows_read else 0.0
    words = f"{survey.rows_refused:,} of {survey.rows_read:,} rows ({share:.2%}) cannot be stored"
    if share > most:
        words += f", more than source.max_quarantined_share allows ({most:.1%}): fix the export or the mapping"
    elif share:
        words += f"; they would go to the quarantine (at most {most:.1%} may)"
    return Check("Can the rows be stored?", "stop" if share > most else "good", words)


def _check_ids(survey: Survey, most: float) -> list[Check]:
    """No check when no two events share an id; rows that do are refused like others."""
    if not survey.conflict_share:
        return []
    words = f"{survey.conflict_share:.2%} of the users' rows share the event_id of a row with different content"
    if survey.conflict_share > most:
        words += f": more than source.max_quarantined_share allows ({most:.1%}); an id shared by "
        words += "the rows of an order is an order_id: map event_id to another column"
        return [Check("Is every event_id unique?", "stop", words)]
    return [Check("Is every event_id unique?", "look", f"{words}: only the one that was recorded first is stored")]


def _check_entities(survey: Survey) -> list[Check]:
    """Tell each expectation of items, users and treatments that does not hold; ingestion stops at a critical one."""
    question = "Are items, users and treatments as expected?"
    stops = [
        Check(question, "stop", f"{one.table}: {failure.describe()}; `make ingest` would store nothing: correct them")
        for one in survey.entities
        for failure in one.failures
    ]
    looks = [
        Check(question, "look", f"{one.table}: {warning.describe()}")
        for one in survey.entities
        for warning in one.warnings
    ]
    held = sum(len(one.outcomes) for one in survey.entities)
    return [*stops, *looks] or [Check(question, "good", f"all {held} expectations hold")]


def _check_purchases(survey: Survey) -> Check:
    question, purchases = "Are there purchases?", survey.rows_by_type.get(t.PURCHASE, 0)
    if not purchases:
        return Check(question, "stop", "none: churn is defined by purchases; map the type of an order to purchase")
    without = 1 - survey.purchases_with_item / purchases
    words = f"{purchases:,} purchases"
    if without > _MOST_WITHOUT_ITEM:
        return Check(question, "stop", f"{words}, but {without:.1%} do not name what was bought: map item_id")
    return Check(question, "good", f"{words}; {1 - without:.1%} name what was bought")


def _check_history(first_at: datetime, ends_at: datetime, as_of: datetime, churn: Churn) -> Check:
    question, days = "Is the history long enough?", (ends_at - first_at) / timedelta(days=1)
    words = f"{days:.0f} days, {days / churn.horizon_days:.1f} times churn.horizon_days ({churn.horizon_days})"
    if days < 2 * churn.horizon_days:
        return Check(question, "stop", f"{words}; at least twice are needed: bring more, or shorten the horizon")
    try:
        split = time_split(as_of, first_at, churn)
    except NotReady as error:
        return Check(question, "stop", f"{words}; {error}")
    learned = "one as-of" if len(split.train) == 1 else f"{len(split.train)} as-ofs"
    words += f"; tested as of {as_of:%Y-%m-%d}, trained on {learned} before"
    if split.is_by_user:
        words += "; too short to validate on later as-ofs: a third of the users is held out for validation"
    return Check(question, "look" if split.is_by_user else "good", words)


def _check_labels(survey: Survey, as_of: datetime, ends_at: datetime, churn: Churn) -> list[Check]:
    """Who would be judged at the as-of, and how many of them left."""
    labels = churn_labels(survey.sample, as_of, churn, ends_at)
    users, left = labels.height, int(labels[t.CHURNED].sum())
    within = f"sample of one in {survey.sample_of} users: " if survey.sample_of > 1 else ""
    words = f"{within}{users:,} users bought in the {churn.look_back_days} days before {as_of:%Y-%m-%d}"
    fewest = min(left, users - left)
    question = "Are there enough users?"
    if fewest < _FEWEST_OF_A_KIND:
        advice = f"{left:,} left and {users - left:,} stayed: too few to learn from; "
        if users * survey.sample_of < _FEW_USERS:
            advice += "bring more users or more history"
        else:
            advice += f"{'shorten' if left < users - left else 'lengthen'} churn.horizon_days"
        return [Check(question, "stop", f"{words}; {advice}")]
    is_few = users * survey.sample_of < _FEW_USERS
    verdict: Literal["good", "look"] = "look" if is_few else "good"
    advice = "; few: differences between models will rarely be significant" if is_few else ""
    return [Check(question, verdict, words + advice), _check_base_rate(left / users, survey.sample, churn)]


def _check_base_rate(share: float, sample: pl.DataFrame, churn: Churn) -> Check:
    half, most = order_gaps(sample)
    words = f"{share:.1%} of them bought nothing in the {churn.horizon_days} days after"
    if half is not None:
        words += f"; half of all repeat orders come within {half:.0f} days, nine in ten within {most:.0f}"
    verdict: Literal["good", "look"] = "good" if _RARE <= share <= _COMMON else "look"
    if verdict == "look":
        words += "; set churn.horizon_days nearer to the latter, so that users labelled as leavers have really left"
    return Check("Is the churn rate plausible?", verdict, words)


def order_gaps(sample: pl.DataFrame) -> tuple[float | None, float | None]:
    """Median and 90th percentile of the days between a user's successive order days, over all users."""
    days = sample.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE).select(t.USER_ID, pl.col(t.OCCURRED_AT).dt.date()).unique()
    gaps = days.sort(t.USER_ID, t.OCCURRED_AT).select(pl.col(t.OCCURRED_AT).diff().over(t.USER_ID).dt.total_days())
    found = gaps.to_series().drop_nulls()
    return found.median(), found.quantile(0.9)  # type: ignore[return-value]  # of whole numbers
