"""One user's story: what they did, how the champion's view of them changed, why, and what would change their tier."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.churn.model import CalibratedModel
from everstay.churn.reasons.words import counted
from everstay.errors import NotReady
from everstay.features import net_purchases
from everstay.features.slices import known_before
from everstay.lake import assign_bucket
from everstay.metrics.maturity import Maturity
from everstay.scoring.back_test import label_clock
from everstay.scoring.churn_scores import summarise_bucket
from everstay.scoring.even_tiers import group_of
from everstay.scoring.rows import churn_rows
from everstay.scoring.tiers import TierBounds, assign_tiers, published_bounds
from everstay.scoring.work import Work
from everstay.settings import Churn, Settings
from everstay.value import fit_value, purchase_summary, with_value

Future = tuple[str, datetime, pl.DataFrame]
"""Words, as-of, and the events that would be known then."""

_PAST, _STEP_DAYS = 13, 7  # as-ofs of the curve: a quarter, week by week
_LATER_DAYS = (7, 14, 28)
_CENTS = 100
_OTHER_ORDER = (
    "No tier is told: the published ones do not follow the order that the settings have now (churn.tiers_by, "
    "fairness.mitigate); `make score` publishes the list by it."
)
_OTHER_MODEL = (
    "No tier and no value is told: the list was published by another model than the champion; `make score` publishes "
    "the list by it."
)


@dataclass(frozen=True)
class Outlook:
    """The risk in a hypothetical case.

    Attributes:
        words: the case.
        as_of: when the user would be scored again.
        probability: of leaving.
        value_at_risk: with the value that the user would have then; None when tiers do not go by it.
        tier: in which such a risk would be on the published list; None when the user is not on it, or see
            `Story.untold`.
    """

    words: str
    as_of: datetime
    probability: float
    value_at_risk: float | None
    tier: str | None


@dataclass(frozen=True)
class Story:
    """One user's story.

    Attributes:
        user_id: theirs.
        now: the risk as of now.
        summary: what they did, in words.
        curve: `AS_OF` and `CHURN_PROBABILITY`, oldest first: the champion's view of what was known then.
        labels: when it is known whether the user left.
        reasons: of the risk now, the strongest first.
        silence: probability of no order for several lengths of time, in words; empty where the champion has no curve.
        worth: `customer_value` and `value_at_risk`, where published.
        outlooks: what would change the risk.
        untold: why no outlook of a published user has a tier; empty when they have. Nothing of a list that another
            model made is told: its tiers and values do not follow from this probability.
    """

    user_id: str
    now: Outlook
    summary: Sequence[str]
    curve: pl.DataFrame
    labels: Maturity
    reasons: Sequence[str]
    silence: Sequence[str]
    worth: tuple[float, float] | None
    outlooks: Sequence[Outlook]
    untold: str


def tell_story(user_id: str, work: Work, published: pl.DataFrame, settings: Settings, known_until: datetime) -> Story:
    """Score one user now, in the past and in hypothetical futures, with the champion.

    Args:
        user_id: of the shop.
        work: lake, champion and the as-of.
        published: `tables.CHURN_SCORES` of the same as-of, or no rows; tiers and values are read from it.
        settings: gap and horizon are the champion's definition of leaving; horizon of the value; order and groups of
            the tiers.
        known_until: up to when events have been recorded.

    Raises:
        NotReady: there is no event of such a user before the as-of.
    """
    events = _events_of(user_id, work)
    items, model = work.reader.read(t.ITEMS), work.load_model()
    usual = _last_order(events)
    futures = _futures(events, usual, work.as_of)
    moments = [work.as_of - timedelta(days=_STEP_DAYS * back) for back in range(_PAST, 0, -1)]
    past = [(moment, events) for moment in moments if events.select(known_before(moment).any()).item()]
    looked_at = [*past, (work.as_of, events), *((as_of, changed) for _, as_of, changed in futures)]
    rows = pl.concat([churn_rows(changed, items, as_of) for as_of, changed in looked_at])
    risk = model.predict_probability(rows)
    listed = published.filter(pl.col(t.MODEL_VERSION) == work.model_version)
    own, place = _published_row(user_id, listed), len(past)
    bounds = _bounds(user_id, work, listed, settings)
    untold = _OTHER_MODEL if len(published) > len(listed) else _OTHER_ORDER if own and bounds is None else ""
    outlooks = _outlooks(futures, _ahead(user_id, risk[place + 1 :], futures, bounds, work, settings))
    tier = own[t.RISK_TIER] if own else None
    curve = pl.DataFrame(
        {t.AS_OF: [as_of for as_of, _ in looked_at[: place + 1]], t.CHURN_PROBABILITY: risk[: place + 1]}
    )
    return Story(
        user_id,
        Outlook("as it is", work.as_of, float(risk[place]), own[t.VALUE_AT_RISK] if own else None, tier),
        _summary(events, work.as_of),
        curve,
        label_clock(work.as_of, settings.churn, known_until),
        model.explain(rows.slice(place, 1))[0],
        silence_words(model, rows.slice(place, 1), settings.churn),
        (own[t.CUSTOMER_VALUE], own[t.VALUE_AT_RISK]) if own and own[t.CUSTOMER_VALUE] is not None else None,
        outlooks,
        untold,
    )


def silence_words(model: object, row: pl.DataFrame, churn: Churn) -> list[str]:
    """One user's (one row) curve of silence in words, where the model has one."""
    if not isinstance(model, CalibratedModel) or not model.tells_curve:
        return []
    days = [round(churn.horizon_days * quarter / 4) for quarter in (1, 2, 3, 4, 6)]
    chances = model.silence(row, churn.horizon_days, days)[0]
    median = model.next_order_days(row, churn.horizon_days)[0]
    told = ", ".join(f"{chance:.0%} for {day} days" for day, chance in zip(days, chances, strict=True))
    since = f" (starting in {churn.gap_days} days)" if churn.gap_days else ""
    return [f"probability of no order: {told}{since}", f"half of similar users order within {median:.0f} days{since}"]


def _events_of(user_id: str, work: Work) -> pl.DataFrame:
    name = pl.DataFrame({t.USER_ID: [user_id]})
    bucket = assign_bucket(name, len(work.reader.buckets))[t.USER_BUCKET][0]
    events = work.reader.read_events(bucket, work.as_of).filter(pl.col(t.USER_ID) == user_id)
    if events.is_empty():
        raise NotReady(f"there is no user {user_id!r} with an event before {work.as_of:%Y-%m-%d}")
    return events


def _last_order(events: pl.DataFrame) -> pl.DataFrame:
    """Lines of the last day with a net purchase."""
    purchases = net_purchases(events)
    day = pl.col(t.OCCURRED_AT).dt.date()
    return purchases.filter(day == day.max())


def _futures(events: pl.DataFrame, order: pl.DataFrame, as_of: datetime) -> list[Future]:
    """Hypothetical futures."""
    silent = [(f"if inactive for another {days} days", as_of + timedelta(days=days), events) for days in _LATER_DAYS]
    if order.is_empty():
        return silent
    once = pl.concat([events, _again(order, as_of, 1)])
    twice = pl.concat([once, _again(order, as_of + timedelta(days=7), 2)])
    week = as_of + timedelta(days=8)
    return [
        ("if they repeat their last order tomorrow", as_of + timedelta(days=1), once),
        ("if they repeat it tomorrow, then nothing for a week", week, once),
        ("if they repeat it tomorrow and again a week later", week, twice),
        *silent,
    ]


def _again(order: pl.DataFrame, day: datetime, number: int) -> pl.DataFrame:
    """The same lines at noon of a day, as another order."""
    noon = pl.lit(day + timedelta(hours=12), t.TIME)
    return order.with_columns(
        noon.alias(t.OCCURRED_AT),
        noon.alias(t.RECORDED_AT),
        pl.lit(f"imagined-{number}").alias(t.ORDER_ID),
        pl.concat_str(pl.lit(f"imagined-{number}-"), t.EVENT_ID).alias(t.EVENT_ID),
    )


def _summary(events: pl.DataFrame, as_of: datetime) -> list[str]:
    purchases = net_purchases(events)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in events[t.EVENT_TYPE].value_counts(sort=True).iter_rows())
    first: date = events[t.OCCURRED_AT].dt.date().sort()[0]
    lines = [f"events since {first}: {events.height:,} ({kinds})"]
    if purchases.is_empty():
        return [*lines, "no order net of returns"]
    days = purchases[t.OCCURRED_AT].dt.date().unique().sort()
    latest: date = days[-1]
    spend = (purchases[t.AMOUNT] * _CENTS).round().sum() / _CENTS
    lines.append(f"days with an order net of returns: {len(days)}, {spend:,.2f} spent, {spend / len(days):,.2f} a day")
    newest: datetime = purchases[t.OCCURRED_AT].sort()[-1]
    silence = (as_of - newest) / timedelta(days=1)  # as the reasons count it, not by dates
    gaps = days.diff().dt.total_days().drop_nulls()
    longest, median = max(gaps, default=0), float(np.median(gaps)) if len(gaps) else 0.0
    usual = f"; gap between orders usually {median:.0f} days, at most {longest}" if len(gaps) else ""
    ago = pl.select(counted(pl.lit(silence), "day", "days")).item()
    return [*lines, f"last order net of returns {latest}, {ago} ago{usual}"]


def _published_row(user_id: str, published: pl.DataFrame) -> dict[str, Any] | None:
    mine = published.filter(pl.col(t.USER_ID) == user_id)
    return None if mine.is_empty() else mine.row(0, named=True)


def _bounds(user_id: str, work: Work, published: pl.DataFrame, settings: Settings) -> TierBounds | None:
    """Where the published tiers end among the users within whom the user's was given; None if that is not known."""
    attribute = settings.fairness.mitigate
    users = work.reader.read(t.USERS) if attribute else t.USERS.empty()
    alike = group_of(user_id, published, users, attribute)
    return published_bounds(alike, settings.churn) if len(alike) else None


def _ahead(
    user_id: str,
    risk: NDArray[np.float64],
    futures: Sequence[Future],
    bounds: TierBounds | None,
    work: Work,
    settings: Settings,
) -> pl.DataFrame:
    """Probability, value at risk and tier in each of the futures; what is not known is null.

    The value is the one that would be published then: another order raises it. Only where tiers go by it, because its
    model learns from all users.
    """
    known = pl.DataFrame({t.USER_ID: [user_id] * len(futures), t.CHURN_PROBABILITY: risk})
    unvalued = known.with_columns(pl.lit(None, pl.Float64).alias(t.VALUE_AT_RISK))
    if bounds is None:
        return unvalued.with_columns(pl.lit(None, pl.String).alias(t.RISK_TIER))
    if not bounds.by_value:
        return assign_tiers(unvalued, bounds)
    everybody = pl.concat([summarise_bucket(bucket, work=work) for bucket in work.reader.buckets])
    model = fit_value(everybody.sort(t.USER_ID), settings.value)
    user = pl.DataFrame({t.USER_ID: [user_id]})
    summaries = [user.join(purchase_summary(events, as_of), on=t.USER_ID, how="left") for _, as_of, events in futures]
    return assign_tiers(with_value(known.hstack(pl.concat(summaries).drop(t.USER_ID)), model), bounds)


def _outlooks(futures: Sequence[Future], ahead: pl.DataFrame) -> list[Outlook]:
    told = ahead.select(t.CHURN_PROBABILITY, t.VALUE_AT_RISK, t.RISK_TIER).iter_rows()
    return [Outlook(words, as_of, *figures) for (words, as_of, _), figures in zip(futures, told, strict=True)]
