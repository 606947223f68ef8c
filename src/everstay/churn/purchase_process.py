"""The candidate that uses only days: the chance of no purchase in the horizon by a buy-till-you-die model.

The days are those with an order, or with any activity: where most visits end without an order, the latter say more
about whether the user is still there. The chance is then that of no visit, which the calibrator maps to that of no
purchase.
"""

from collections.abc import Callable, Mapping, Sequence
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

ACTIVITY = "activity"
DAYS: dict[str, tuple[str, ...]] = {
    "orders": HISTORY_COLUMNS,
    ACTIVITY: ("tenure_days", "inactive_days", "active_days_364d"),
}
"""Kind of days to the columns that describe them."""

_SOURCES = {"first_order_days": "tenure_days"}  # the name of a column in reasons, if it differs
_REACH = 364.0  # days in which active days are counted
_NEVER = 3_650.0  # days; stands for the age of a user without an order
_SMALLEST = 1e-9


@dataclass(frozen=True)
class PurchaseProcessScorer:
    """A fitted model of purchases, times in days.

    Attributes:
        process: fitted.
        horizon_days: of the label that the scores are for.
        days: which days it is fitted to, one of `DAYS`.
    """

    process: BgNbd | ParetoNbd
    horizon_days: int
    days: str = "orders"

    @classmethod
    def fit(cls, rows: pl.DataFrame, process: str) -> "PurchaseProcessScorer":
        """Fit one of `PROCESSES` to the rows of the last as-of: every user once, with the longest history.

        Args:
            rows: to learn from.
            process: its name, with the suffix `_activity` for all days on which a user did something.

        Raises:
            NotReady: none of the users came on two days.
        """
        name, days = (process.removesuffix(f"_{ACTIVITY}"), ACTIVITY if process.endswith(ACTIVITY) else "orders")
        latest = rows.filter(pl.col(t.AS_OF) == pl.col(t.AS_OF).max(), pl.col(DAYS[days][0]).is_not_null())
        return cls(PROCESSES[name].fit(_HISTORIES[days](latest)), int(rows[t.HORIZON_DAYS][0]), days)

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Log-odds of no purchase in the horizon."""
        silent = self.process.probability_no_purchase(_HISTORIES[self.days](rows), float(self.horizon_days))
        inside = np.clip(silent, _SMALLEST, 1 - _SMALLEST)
        return np.asarray(np.log(inside) - np.log1p(-inside))

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:
        """Shapley values of the columns that are read; those of the first order are attributed to tenure."""
        count = len(DAYS[self.days])
        scores = {known: self._scores_knowing(known, rows, usual) for known in _subsets(range(count))}
        parts = np.zeros((rows.height, count))
        for place in range(count):
            for others in _subsets([other for other in range(count) if other != place]):
                gain = scores[tuple(sorted((*others, place)))] - scores[others]
                parts[:, place] += gain / (count * comb(count - 1, len(others)))
        base = float(scores[()][0]) if rows.height else 0.0
        return Attribution(base, placed(parts, self._sources))

    @property
    def _sources(self) -> tuple[str, ...]:
        return tuple(_SOURCES.get(name, name) for name in DAYS[self.days])

    def _scores_knowing(
        self, known: tuple[int, ...], rows: pl.DataFrame, usual: Mapping[str, float | None]
    ) -> FloatArray:
        """Scores with all but the known columns replaced by the usual user's."""
        columns = DAYS[self.days]
        replaced = [
            pl.lit(usual.get(self._sources[place]), pl.Float64).alias(name)
            for place, name in enumerate(columns)
            if place not in known
        ]
        return self.scores(rows.select(columns).with_columns(replaced))


def _subsets(places: Sequence[int]) -> list[tuple[int, ...]]:
    return [chosen for size in range(len(places) + 1) for chosen in combinations(places, size)]


def order_history(rows: pl.DataFrame) -> History:
    """Order days of N users, in days: how many after the first, and when.

    An as-of is midnight, so days since an order, rounded up, count whole days between order days; divided by the mean
    gap they give the number of order days.
    """
    age, since, gap = (pl.col(name).cast(pl.Float64) for name in HISTORY_COLUMNS)
    repeats = ((age.ceil() - since.ceil()) / gap).round().fill_null(0.0).clip(0.0)
    known = rows.select(
        repeats.alias("frequency"),
        pl.when(repeats > 0).then(age - since).otherwise(0.0).clip(0.0).alias("recency"),
        age.fill_null(_NEVER).clip(_SMALLEST).alias("age"),
    )
    return History.of(known["frequency"], known["recency"], known["age"])


def activity_history(rows: pl.DataFrame) -> History:
    """Active days of N users in the last 364, in days: how many after the first, and when.

    For users who came before that, all of them count: the process is observed from 364 days ago on.
    """
    tenure, since, active = (pl.col(name).cast(pl.Float64) for name in DAYS[ACTIVITY])
    repeats = (active - (tenure <= _REACH).cast(pl.Float64)).fill_null(0.0).clip(0.0)
    age = tenure.fill_null(_NEVER).clip(_SMALLEST, _REACH)
    known = rows.select(
        repeats.alias("frequency"),
        pl.when(repeats > 0).then(age - since.clip(0.0)).otherwise(0.0).fill_null(0.0).clip(0.0).alias("recency"),
        age.alias("age"),
    )
    return History.of(known["frequency"], known["recency"], known["age"])


_HISTORIES: dict[str, Callable[[pl.DataFrame], History]] = {"orders": order_history, ACTIVITY: activity_history}
