"""The candidate that knows order days only: the chance of no purchase in the horizon by a buy-till-you-die model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.churn.btyd import BgNbd, History, MbgNbd, ParetoNbd
from everstay.churn.encoding import HISTORY_COLUMNS
from everstay.churn.reasons.attribution import Attribution, placed

FloatArray = NDArray[np.float64]

PROCESSES: dict[str, type[BgNbd] | type[ParetoNbd]] = {"pareto_nbd": ParetoNbd, "bg_nbd": BgNbd, "mbg_nbd": MbgNbd}

_SOURCES = ("tenure_days", "recency_days", "gap_mean_days")  # how reasons name these columns
_NEVER = 3_650.0  # days; stands for the age of a user without an order
_SMALLEST = 1e-9


@dataclass(frozen=True)
class PurchaseProcessScorer:
    """A fitted model of purchases, times in days.

    Attributes:
        process: fitted.
        horizon_days: of the label that the scores are for.
    """

    process: BgNbd | ParetoNbd
    horizon_days: int

    @classmethod
    def fit(cls, rows: pl.DataFrame, process: str) -> "PurchaseProcessScorer":
        """Fit one of `PROCESSES` to the rows of the last as-of: every user once, with the longest history.

        Raises:
            NotReady: nobody of them bought on two days.
        """
        latest = rows.filter(pl.col(t.AS_OF) == pl.col(t.AS_OF).max(), pl.col(HISTORY_COLUMNS[0]).is_not_null())
        return cls(PROCESSES[process].fit(order_history(latest)), int(rows[t.HORIZON_DAYS][0]))

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Log-odds of no purchase in the horizon."""
        silent = self.process.probability_no_purchase(order_history(rows), float(self.horizon_days))
        inside = np.clip(silent, _SMALLEST, 1 - _SMALLEST)
        return np.asarray(np.log(inside) - np.log1p(-inside))

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:
        """Shapley values of first order, last order and mean gap; the first order counts as tenure."""
        count = len(HISTORY_COLUMNS)
        scores = {known: self._scores_knowing(known, rows, usual) for known in _subsets(range(count))}
        parts = np.zeros((rows.height, count))
        for place in range(count):
            for others in _subsets([other for other in range(count) if other != place]):
                gain = scores[tuple(sorted((*others, place)))] - scores[others]
                parts[:, place] += gain / (count * comb(count - 1, len(others)))
        base = float(scores[()][0]) if rows.height else 0.0
        return Attribution(base, placed(parts, _SOURCES))

    def _scores_knowing(
        self, known: tuple[int, ...], rows: pl.DataFrame, usual: Mapping[str, float | None]
    ) -> FloatArray:
        """Scores where all but the known history columns are the usual user's."""
        replaced = [
            pl.lit(usual.get(_SOURCES[place]), pl.Float64).alias(name)
            for place, name in enumerate(HISTORY_COLUMNS)
            if place not in known
        ]
        return self.scores(rows.select(HISTORY_COLUMNS).with_columns(replaced))


def _subsets(places: Sequence[int]) -> list[tuple[int, ...]]:
    return [chosen for size in range(len(places) + 1) for chosen in combinations(places, size)]


def order_history(rows: pl.DataFrame) -> History:
    """Order days of N users, in days: how many after the first, and when.

    An as-of is a midnight, so that days since an order, rounded up, count whole days between order days; divided by
    their mean gap they say how many order days there were.
    """
    age, since, gap = (pl.col(name).cast(pl.Float64) for name in HISTORY_COLUMNS)
    repeats = ((age.ceil() - since.ceil()) / gap).round().fill_null(0.0).clip(0.0)
    known = rows.select(
        repeats.alias("frequency"),
        pl.when(repeats > 0).then(age - since).otherwise(0.0).clip(0.0).alias("recency"),
        age.fill_null(_NEVER).clip(_SMALLEST).alias("age"),
    )
    return History.of(known["frequency"], known["recency"], known["age"])
