"""A fitted candidate, as it is stored and judged."""

from collections.abc import Mapping
from dataclasses import dataclass

from everstay.recommender.model import ListModel


@dataclass(frozen=True)
class Fitted:
    """A candidate.

    Attributes:
        model: fitted as of the test; serves.
        early: fitted as of the validation with the same settings; saw the validation's baskets only through the
            choice of settings.
        params: chosen and fixed settings.
        curves: of the fit as of the validation, per epoch; empty where nothing is trained.
    """

    model: ListModel
    early: ListModel
    params: Mapping[str, str | int | float | bool]
    curves: Mapping[str, list[float]]
