"""What was warned and what happened: every past publication beside the labels that have matured since."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features.slices import label_delay
from everstay.metrics import classification as c
from everstay.metrics.comparison import Interval, statistic_interval
from everstay.metrics.maturity import Maturity, maturity
from everstay.metrics.proportion import share_interval
from everstay.scoring.leaving import published_definition
from everstay.scoring.tiers import HIGH, LOW, MEDIUM
from everstay.settings import Churn, Promotion

WARNED: Mapping[str, tuple[str, ...]] = {"high": (HIGH,), "high and medium": (HIGH, MEDIUM), "all": (HIGH, MEDIUM, LOW)}
"""Groups of users: the tiers from the top."""

_BINS = 10
_BOTH_CLASSES = 2


@dataclass(frozen=True)
class WarnedGroup:
    """The users of the tiers from the top down to one.

    Attributes:
        users: in these tiers.
        left: of them.
        expected: how many would leave, by the sum of the probabilities.
        precision: share of them that left, with its interval.
        recall: share of all who left that is among them, with its interval; None when nobody left.
        lift: precision over the share of all users that left; None when nobody left.
        lost_value: share of the value of all who left, as it was published, that is among them; None without values.
    """

    users: int
    left: int
    expected: float
    precision: Interval
    recall: Interval | None
    lift: float | None
    lost_value: float | None


@dataclass(frozen=True)
class PastPublication:
    """One as-of's scores and what came of them.

    Attributes:
        as_of: of the publication.
        model_version: that made it.
        users: published.
        churn: gap and horizon are what leaving meant in it.
        clock: of its labels.
        learned_later: the model has, or may have, learned from what came after the as-of; its figures are no test.
        groups: name in `WARNED` to figures; empty until the labels are mature.
        roc_auc: of the probabilities; None until then, and where all or nobody left.
        calibration_error: expected; None until then.
        outcomes: `CHURN_PROBABILITY` and `CHURNED` of the labelled users; no rows until then.
    """

    as_of: datetime
    model_version: str
    users: int
    churn: Churn
    clock: Maturity
    learned_later: bool
    groups: Mapping[str, WarnedGroup]
    roc_auc: Interval | None
    calibration_error: Interval | None
    outcomes: pl.DataFrame


def label_clock(as_of: datetime, churn: Churn, known_until: datetime) -> Maturity:
    """Of whether the users of an as-of left.

    >>> from datetime import UTC
    >>> str(label_clock(datetime(2018, 1, 1, tzinfo=UTC), Churn(), datetime(2018, 1, 1, 4, tzinfo=UTC)))
    'not knowable before 2018-01-31'
    """
    lateness = timedelta(days=churn.allowed_lateness_days)
    return maturity(as_of + label_delay(churn) - lateness, lateness, known_until)


def back_test(
    scores: pl.DataFrame,
    labels: pl.DataFrame,
    judged_at: Mapping[str, datetime],
    churn: Churn,
    policy: Promotion,
    known_until: datetime,
) -> list[PastPublication]:
    """Judge every publication, newest first.

    Args:
        scores: `tables.CHURN_SCORES`, all as-ofs.
        labels: `tables.CHURN_LABELS` of those that are mature, each by its own definition of leaving.
        judged_at: model version to the as-of it was judged at: it learned from labels known then; of others nothing
            is known, and they count as if they had learned from what came later.
        churn: the allowed lateness, and the definition of leaving where a publication tells none.
        policy: confidence and resamples of the intervals.
        known_until: up to when events have been recorded.
    """
    found = []
    for (as_of, version), rows in scores.sort(t.AS_OF, t.USER_ID).group_by(
        t.AS_OF, t.MODEL_VERSION, maintain_order=True
    ):
        meant = published_definition(rows, churn)
        clock = label_clock(as_of, meant, known_until)
        told = rows.join(labels.select(t.USER_ID, t.AS_OF, t.CHURNED), on=[t.USER_ID, t.AS_OF])
        later = version not in judged_at or judged_at[version] > as_of
        found.append(_judge(as_of, version, rows, told, meant, clock, later, policy))
    return found[::-1]


def calibration_points(outcomes: pl.DataFrame, confidence: float) -> tuple[NDArray[np.float64], list[Interval]]:
    """Mean probability of tenths of users of equal size, and the share of each that left."""
    probability, churned = outcomes[t.CHURN_PROBABILITY].to_numpy(), outcomes[t.CHURNED].to_numpy()
    tenths = np.array_split(np.argsort(probability, kind="stable"), min(_BINS, len(probability)))
    means = np.array([probability[tenth].mean() for tenth in tenths])
    return means, [share_interval(int(churned[tenth].sum()), len(tenth), confidence) for tenth in tenths]


def _judge(
    as_of: datetime,
    version: str,
    rows: pl.DataFrame,
    told: pl.DataFrame,
    meant: Churn,
    clock: Maturity,
    learned_later: bool,
    policy: Promotion,
) -> PastPublication:
    groups: dict[str, WarnedGroup] = {}
    auc = error = None
    if len(told):
        groups = {name: _group(told, tiers, policy.confidence) for name, tiers in WARNED.items()}
        churned, probability = told[t.CHURNED].to_numpy().astype(float), told[t.CHURN_PROBABILITY].to_numpy()
        options: dict[str, Any] = {"resamples": policy.resamples, "confidence": policy.confidence, "seed": 0}
        error = statistic_interval(c.expected_calibration_error, churned, probability, **options)
        if len(np.unique(churned)) == _BOTH_CLASSES:
            auc = statistic_interval(c.roc_auc, churned, probability, **options)
    outcomes = told.select(t.CHURN_PROBABILITY, t.CHURNED)
    return PastPublication(as_of, version, len(rows), meant, clock, learned_later, groups, auc, error, outcomes)


def _group(told: pl.DataFrame, tiers: tuple[str, ...], confidence: float) -> WarnedGroup:
    members = told.filter(pl.col(t.RISK_TIER).is_in(tiers))
    left, all_left = int(members[t.CHURNED].sum()), int(told[t.CHURNED].sum())
    expected = float(members[t.CHURN_PROBABILITY].sum())
    if members.is_empty():
        return WarnedGroup(0, 0, expected, Interval(float("nan"), float("nan"), float("nan")), None, None, None)
    precision = share_interval(left, len(members), confidence)
    recall = share_interval(left, all_left, confidence) if all_left else None
    lift = precision.value / (all_left / len(told)) if all_left else None
    return WarnedGroup(len(members), left, expected, precision, recall, lift, _lost_value(members, told))


def _lost_value(members: pl.DataFrame, told: pl.DataFrame) -> float | None:
    lost, all_lost = (float(rows.filter(t.CHURNED)[t.CUSTOMER_VALUE].sum()) for rows in (members, told))
    return lost / all_lost if all_lost else None
