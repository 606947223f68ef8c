"""Warnings and what happened: every past publication beside the labels that have matured since."""

import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from pydantic import TypeAdapter, ValidationError

from everstay import tables as t
from everstay.features.slices import label_delay
from everstay.lake import Lake
from everstay.metrics.maturity import Maturity, maturity
from everstay.metrics.warned import Outcome, judge_warnings
from everstay.partitions import Parts
from everstay.scoring.digest import digest
from everstay.scoring.leaving import published_definition
from everstay.scoring.tiers import HIGH, LOW, MEDIUM
from everstay.settings import Churn, Promotion

WARNED: Mapping[str, tuple[str, ...]] = {"high": (HIGH,), "high and medium": (HIGH, MEDIUM), "all": (HIGH, MEDIUM, LOW)}
"""Groups of users: cumulative tiers from the top."""

USERS = "users"

_TOLD = (t.AS_OF, t.MODEL_VERSION, t.GAP_DAYS, t.HORIZON_DAYS)
_JUDGED = (t.USER_ID, t.CHURN_PROBABILITY, t.RISK_TIER, t.CUSTOMER_VALUE)
_OUTCOME = TypeAdapter(Outcome)


@dataclass(frozen=True)
class PastPublication:
    """One as-of's scores and what came of them.

    Attributes:
        as_of: of the publication.
        model_version: that made it.
        users: published.
        churn: its gap and horizon are the publication's definition of leaving.
        clock: maturity of its labels.
        learned_later: the model has, or may have, learned from data after the as-of; its figures are no fair test.
        outcome: None until the labels are mature.
    """

    as_of: datetime
    model_version: str
    users: int
    churn: Churn
    clock: Maturity
    learned_later: bool
    outcome: Outcome | None


def label_clock(as_of: datetime, churn: Churn, known_until: datetime) -> Maturity:
    """Maturity of the churn labels of an as-of.

    >>> from datetime import UTC
    >>> str(label_clock(datetime(2018, 1, 1, tzinfo=UTC), Churn(), datetime(2018, 1, 1, 4, tzinfo=UTC)))
    'not knowable before 2018-01-31'
    """
    lateness = timedelta(days=churn.allowed_lateness_days)
    return maturity(as_of + label_delay(churn) - lateness, lateness, known_until)


def publications(lake: Lake) -> pl.DataFrame:
    """One row for every as-of of `tables.CHURN_SCORES`, oldest first: model version, gap, horizon, and `USERS`."""
    told = lake.read_publications(t.CHURN_SCORES, lake.as_ofs(t.CHURN_SCORES), _TOLD)
    rows = (one.select(pl.col(_TOLD).drop_nulls().first(), pl.len().alias(USERS)) for _, one in told)
    return pl.concat([t.CHURN_SCORES.empty().select(*_TOLD, pl.lit(0, pl.UInt32).alias(USERS)), *rows])


def judge_publications(
    lake: Lake, as_ofs: Sequence[datetime], labels: Parts, policy: Promotion, kept: Path
) -> dict[datetime, Outcome]:
    """Outcomes of the users of some publications; one publication at a time is in memory.

    Args:
        lake: holds the publications.
        as_ofs: theirs.
        labels: `tables.CHURN_LABELS` of these as-ofs, each by its own definition of leaving; are removed.
        policy: confidence and resamples of the intervals.
        kept: cache folder of outcomes judged by the same policy: the same users with the same scores and labels are not
            judged again.

    Returns:
        As-of to outcome, of those with a labelled user.
    """
    columns = (t.USER_ID, t.AS_OF, t.CHURNED)
    known = pl.concat([labels.read(number, columns) for number in labels.numbers])
    outcomes = {}
    for as_of, scores in lake.read_publications(t.CHURN_SCORES, as_ofs, _JUDGED):
        told = scores.join(known.filter(pl.col(t.AS_OF) == as_of).drop(t.AS_OF), on=t.USER_ID).sort(t.USER_ID)
        if len(told):
            outcomes[as_of] = _judge(told, policy, kept)
    labels.remove()
    return outcomes


def back_test(
    published: pl.DataFrame,
    outcomes: Mapping[datetime, Outcome],
    judged_at: Mapping[str, datetime],
    churn: Churn,
    known_until: datetime,
) -> list[PastPublication]:
    """Every publication and what came of it, newest first.

    Args:
        published: from `publications`.
        outcomes: from `judge_publications`, of those that are mature.
        judged_at: model version to the as-of it was judged at: it learned from labels known then; versions not in it
            count as having learned from later data.
        churn: the allowed lateness, and the definition of leaving where a publication states none.
        known_until: up to when events have been recorded.
    """
    found = []
    for row in published.sort(t.AS_OF, descending=True).iter_slices(1):
        as_of, version, users = row.select(t.AS_OF, t.MODEL_VERSION, USERS).row(0)
        meant = published_definition(row, churn)
        clock, later = label_clock(as_of, meant, known_until), version not in judged_at or judged_at[version] > as_of
        found.append(PastPublication(as_of, version, users, meant, clock, later, outcomes.get(as_of)))
    return found


def _judge(told: pl.DataFrame, policy: Promotion, kept: Path) -> Outcome:
    file = kept / f"{digest(told)}.json"
    with suppress(FileNotFoundError, ValidationError):  # cut off by a loss of power: it is judged again
        return _OUTCOME.validate_json(file.read_text(encoding="utf-8"))
    probability, left, tier, value = (
        told[name].to_numpy() for name in (t.CHURN_PROBABILITY, t.CHURNED, t.RISK_TIER, t.CUSTOMER_VALUE)
    )
    outcome = judge_warnings(
        probability, left, tier, value, WARNED, resamples=policy.resamples, confidence=policy.confidence
    )
    kept.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{uuid.uuid4().hex}")  # another run may judge the same
    partial.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    partial.rename(file)  # a file that exists is complete
    return outcome
