"""The fairness page of a candidate: one table per attribute, its differences, and the price of evening them out.

It judges the users that the warning list would contain: the tier `high` in the list's order, up to the budget, evened
out if the settings ask for it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import jinja2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.churn.fairness.figures import FIGURES, AttributeFigures, groups_of, judge_attribute
from everstay.churn.fairness.mitigation import Price, mitigation_price, riskiest, riskiest_of_each
from everstay.churn.money import worth
from everstay.churn.rows import ChurnRows, outcomes
from everstay.features.slices import label_delay
from everstay.metrics.maturity import Maturity
from everstay.metrics.profit import contact_cost
from everstay.settings import Settings

FloatArray = NDArray[np.float64]

_RESAMPLES = 300  # at most: there are hundreds of figures, which decide nothing
_TEMPLATE = "fairness.html.jinja"


def fairness_page(
    name: str, rows: ChurnRows, probability: FloatArray, attributes: pl.DataFrame | None, settings: Settings
) -> str:
    """Judge a candidate's warnings by every attribute of the settings, as one HTML page.

    Args:
        name: of the candidate.
        rows: of n in `test`, one per user.
        probability: (n,) of the test rows.
        attributes: `tables.USERS`; None if the shop declares nothing about its users.
        settings: attributes, smallest group, mitigation; order, tier `high` and budget of the list; intervals.
    """
    judged: list[tuple[AttributeFigures, Price]] = []
    absent = []
    test, policy = rows.test, settings.promotion
    churned, risk = outcomes(test), _risk(test, probability, settings)
    share = _listed_share(risk, probability, rows.share, settings)
    even = settings.fairness.mitigate
    if even is None or attributes is None:
        warned = riskiest(risk, share)
    else:
        warned = riskiest_of_each(risk, groups_of(test[t.USER_ID], attributes, t.USER_ID, even), share)
    bootstrap: dict[str, Any] = {
        "resamples": min(policy.resamples, _RESAMPLES),
        "confidence": policy.confidence,
        "seed": settings.training.seed,
    }
    for attribute in settings.fairness.attributes:
        if attributes is None or attributes[attribute].null_count() == attributes.height:
            absent.append(attribute)
            continue
        groups = groups_of(test[t.USER_ID], attributes, t.USER_ID, attribute)
        figures = judge_attribute(
            attribute, groups, churned, probability, warned, min_users=settings.fairness.min_users, bootstrap=bootstrap
        )
        judged.append((figures, mitigation_price(attribute, groups, churned, risk, share, **bootstrap)))
    return _render(name, test, share, judged, absent, settings)


def _risk(test: pl.DataFrame, probability: FloatArray, settings: Settings) -> FloatArray:
    """What the list is ordered by, (n,); value at risk uses `money.worth`, the same for all candidates."""
    return probability * worth(test, settings.value) if settings.churn.tiers_by == "value_at_risk" else probability


def _listed_share(risk: FloatArray, probability: FloatArray, sample: float, settings: Settings) -> float:
    """Share of the users in tier `high`: as many as the budget pays for, when there is one.

    Where groups are evened out, the list spends each group's part of the budget instead, on about the same share.
    """
    value = settings.value
    if value.budget is None:
        return settings.churn.high_risk_share
    spent = np.cumsum(contact_cost(probability[np.argsort(-risk, kind="stable")], value))
    return float((spent <= value.budget * sample).mean())


def _render(
    name: str,
    rows: pl.DataFrame,
    share: float,
    judged: Sequence[tuple[AttributeFigures, Price]],
    absent: Sequence[str],
    settings: Settings,
) -> str:
    as_of: datetime = rows[t.AS_OF].sort()[-1]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("everstay.churn.fairness", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(_TEMPLATE).render(
        name=name,
        as_of=f"{as_of:%Y-%m-%d}",
        labels=Maturity("mature", as_of + label_delay(settings.churn)),  # unknown labels make no rows
        users=rows.height,
        judged=judged,
        absent=absent,
        figures=FIGURES,
        share=share,
        order=settings.churn.tiers_by.replace("_", " "),
        budget=settings.value.budget,
        min_users=settings.fairness.min_users,
        confidence=settings.promotion.confidence,
        mitigate=settings.fairness.mitigate,
    )
