"""A fitted candidate, as it is stored and judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from everstay.churn.choice import Curves
from everstay.churn.model import CalibratedModel


@dataclass(frozen=True)
class Fitted:
    """A fitted candidate.

    Attributes:
        model: learned from all rows known at the test as-of; the one that serves.
        early: learned from `train` only; the one whose validation figures are unbiased.
        params: fixed and chosen settings.
        curves: what the setting was chosen by, per epoch, round or penalty.
    """

    model: CalibratedModel
    early: CalibratedModel
    params: Mapping[str, Any]
    curves: Curves = field(default_factory=dict)
