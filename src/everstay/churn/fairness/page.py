"""The fairness page of a candidate: one table an attribute, its differences, and the price of evening them out."""

from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.churn.fairness.figures import FIGURES, AttributeFigures, groups_of, judge_attribute
from everstay.churn.fairness.mitigation import Price, mitigation_price, riskiest
from everstay.churn.rows import outcomes
from everstay.settings import Settings

FloatArray = NDArray[np.float64]

_RESAMPLES = 300  # at most: hundreds of figures that are read, and decide nothing
_TEMPLATE = "fairness.html.jinja"


def fairness_page(
    name: str, rows: pl.DataFrame, probability: FloatArray, attributes: pl.DataFrame | None, settings: Settings
) -> str:
    """Judge a candidate's probabilities by every attribute of the settings, as one HTML page.

    Args:
        name: of the candidate.
        rows: test rows with outcomes, one per user.
        probability: (n,) of the rows.
        attributes: `tables.USERS`; None when the shop declares nothing of its users.
        settings: attributes, least group, share of the tier `high`, intervals.
    """
    judged: list[tuple[AttributeFigures, Price]] = []
    absent = []
    churned, share = outcomes(rows), settings.churn.high_risk_share
    warned, policy = riskiest(probability, share), settings.promotion
    bootstrap: dict[str, Any] = {
        "resamples": min(policy.resamples, _RESAMPLES),
        "confidence": policy.confidence,
        "seed": settings.training.seed,
    }
    for attribute in settings.fairness.attributes:
        if attributes is None or attributes[attribute].null_count() == attributes.height:
            absent.append(attribute)
            continue
        groups = groups_of(rows[t.USER_ID], attributes, t.USER_ID, attribute)
        figures = judge_attribute(
            attribute, groups, churned, probability, warned, min_users=settings.fairness.min_users, bootstrap=bootstrap
        )
        judged.append((figures, mitigation_price(attribute, groups, churned, probability, share, **bootstrap)))
    return _render(name, rows, judged, absent, settings)


def _render(
    name: str,
    rows: pl.DataFrame,
    judged: Sequence[tuple[AttributeFigures, Price]],
    absent: Sequence[str],
    settings: Settings,
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("everstay.churn.fairness", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(_TEMPLATE).render(
        name=name,
        as_of=rows[t.AS_OF].dt.date().max(),
        users=rows.height,
        judged=judged,
        absent=absent,
        figures=FIGURES,
        share=settings.churn.high_risk_share,
        min_users=settings.fairness.min_users,
        confidence=settings.promotion.confidence,
        mitigate=settings.fairness.mitigate,
    )
