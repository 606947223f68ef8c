"""Rows -> numbers for models: normalised features and ragged day tokens. Learned on training rows only.

Shapes: N rows, F features, E encoded features, T tokens of all rows together, K numbers per token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.churn.cadence import CADENCE_COLUMNS, cadence
from everstay.churn.config import MAX_TOKENS
from everstay.features import sequences as s

FloatArray = NDArray[np.float64]

TOKEN_NUMBERS = (s.TOKEN_DAYS_AGO, s.TOKEN_COUNT, s.TOKEN_AMOUNT, s.TOKEN_ITEMS, s.TOKEN_DISCOUNT, s.TOKEN_HOUR)
TOKEN_COLUMNS = (s.TOKEN_TYPE, *TOKEN_NUMBERS)
FEATURE_COLUMNS = (
    "orders_7d", "spend_7d", "items_7d", "distinct_items_7d", "distinct_categories_7d", "active_days_7d",
    "discount_7d", "discount_share_7d", "basket_7d", "views_7d", "clicks_7d", "searches_7d", "carts_7d", "coupons_7d",
    "returns_7d", "messages_opened_7d", "orders_28d", "spend_28d", "items_28d", "distinct_items_28d",
    "distinct_categories_28d", "active_days_28d", "discount_28d", "discount_share_28d", "basket_28d", "views_28d",
    "clicks_28d", "searches_28d", "carts_28d", "coupons_28d", "returns_28d", "messages_opened_28d", "orders_84d",
    "spend_84d", "items_84d", "distinct_items_84d", "distinct_categories_84d", "active_days_84d", "discount_84d",
    "discount_share_84d", "basket_84d", "views_84d", "clicks_84d", "searches_84d", "carts_84d", "coupons_84d",
    "returns_84d", "messages_opened_84d", "orders_364d", "spend_364d", "items_364d", "distinct_items_364d",
    "distinct_categories_364d", "active_days_364d", "discount_364d", "discount_share_364d", "basket_364d",
    "views_364d", "clicks_364d", "searches_364d", "carts_364d", "coupons_364d", "returns_364d",
    "messages_opened_364d", "orders_trend_28d", "spend_trend_28d", "orders_trend_84d", "spend_trend_84d",
    "recency_days", "tenure_days", "inactive_days", "gap_mean_days", "gap_median_days", "gap_std_days",
    "gap_last_days", "gap_max_days", "recency_to_mean_gap", "recency_to_median_gap", "weekend_share_364d",
    "hour_mean_364d", "views_recency_days", "clicks_recency_days", "searches_recency_days", "carts_recency_days",
    "coupons_recency_days", "returns_recency_days", "messages_opened_recency_days",
)  # fmt: skip
"""The activity features that models read: chosen on validation, because more inputs are not better per se. A feature
that is declared later is only used once it is named here."""
HISTORY_COLUMNS = ("first_order_days", "recency_days", "gap_mean_days")
"""What buy-till-you-die models read."""
STATE_COLUMN = "lifecycle_state"
"""Calibration is evaluated per value of it, besides overall."""
MODEL_COLUMNS = (*FEATURE_COLUMNS, *CADENCE_COLUMNS)

_LIMIT = 5.0  # standard deviations; a later value far outside the training range must not cause an extreme score
_TYPE_INDEX = {kind: index for index, kind in enumerate(t.EVENT_TYPES, start=1)}
TYPES = len(_TYPE_INDEX) + 1
"""Token types a network knows: the shop's event types, and 0 for any other."""


def model_features(rows: pl.DataFrame) -> pl.DataFrame:
    """`MODEL_COLUMNS` of N rows: the activity features beside the cadence of the order days."""
    return rows.select(pl.col(FEATURE_COLUMNS).cast(pl.Float64)).hstack(cadence(rows, MAX_TOKENS))


def feature_matrix(rows: pl.DataFrame, columns: tuple[str, ...] = MODEL_COLUMNS) -> FloatArray:
    """The features (N, F); NaN where undefined."""
    return model_features(rows).select(pl.col(columns).fill_null(float("nan"))).to_numpy()


def varying_columns(rows: pl.DataFrame) -> tuple[str, ...]:
    """Features with at least two distinct values in `rows`: a constant is uninformative and its scale is zero."""
    counts = model_features(rows).select(pl.all().drop_nulls().n_unique()).row(0)
    return tuple(name for name, count in zip(MODEL_COLUMNS, counts, strict=True) if count > 1)


@dataclass(frozen=True)
class FeatureEncoder:
    """Signed logarithm, then standardised; undefined values become the median and get an indicator column.

    Attributes:
        columns: the F features used.
        median: (F,) of the logarithms.
        mean: (F,) of the logarithms after filling.
        scale: (F,) standard deviation of the same.
        is_marked: (F,) whether a feature gets an indicator column.
    """

    columns: tuple[str, ...]
    median: FloatArray
    mean: FloatArray
    scale: FloatArray
    is_marked: NDArray[np.bool_]

    @classmethod
    def fit(cls, rows: pl.DataFrame) -> Self:
        """Learn from training rows."""
        columns = varying_columns(rows)
        logs = _signed_log(feature_matrix(rows, columns))
        undefined = np.isnan(logs)
        median = np.nanmedian(logs, axis=0)
        filled = np.where(undefined, median, logs)
        scale = np.maximum(filled.std(axis=0), 1e-6)
        return cls(columns, median, filled.mean(axis=0), scale, np.asarray(undefined.any(axis=0)))

    @property
    def width(self) -> int:
        """E."""
        return len(self.columns) + int(self.is_marked.sum())

    def encode(self, rows: pl.DataFrame) -> FloatArray:
        """Rows (N) -> (N, E), no NaN."""
        logs = _signed_log(feature_matrix(rows, self.columns))
        undefined = np.isnan(logs)
        normal = (np.where(undefined, self.median, logs) - self.mean) / self.scale
        return np.hstack([np.clip(normal, -_LIMIT, _LIMIT), undefined[:, self.is_marked]])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What to store beside `columns`."""
        return {"median": self.median, "mean": self.mean, "scale": self.scale, "is_marked": self.is_marked}

    @classmethod
    def from_arrays(cls, columns: tuple[str, ...], arrays: Mapping[str, NDArray]) -> Self:
        """Restore from `arrays`."""
        return cls(columns, arrays["median"], arrays["mean"], arrays["scale"], arrays["is_marked"])


@dataclass(frozen=True)
class Tokens:
    """Day tokens of N rows, one after the other.

    Attributes:
        kinds: (T,) index of the token's type.
        numbers: (T, K) float32.
        starts: (N + 1,) a row's tokens are `starts[row]:starts[row + 1]`, oldest first.
    """

    kinds: NDArray[np.int64]
    numbers: NDArray[np.float32]
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class TokenEncoder:
    """Standardised logarithms of a token's numbers, and the days since the token before it.

    Attributes:
        max_tokens: number of latest tokens kept.
        mean: (K,) of the logarithms.
        scale: (K,) standard deviation of the same.
        reads_weekdays: whether the weekday is encoded too, on a circle.
    """

    max_tokens: int
    mean: FloatArray
    scale: FloatArray
    reads_weekdays: bool = False

    @classmethod
    def fit(cls, rows: pl.DataFrame, max_tokens: int, *, reads_weekdays: bool = False) -> Self:
        """Learn from training rows."""
        raw = cls(max_tokens, np.zeros(1), np.ones(1), reads_weekdays).encode(rows).numbers.astype(np.float64)
        return cls(max_tokens, raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-6), reads_weekdays)

    @property
    def width(self) -> int:
        """K."""
        return len(self.mean)

    def encode(self, rows: pl.DataFrame) -> Tokens:
        """The token lists of N rows; a null list is an empty one."""
        lists = rows.select(pl.col(TOKEN_COLUMNS).list.tail(self.max_tokens), t.AS_OF)
        lengths = lists[s.TOKEN_TYPE].list.len().fill_null(0).to_numpy()
        flat = (
            lists.with_row_index("row")
            .filter(pl.col(s.TOKEN_TYPE).list.len() > 0)
            .explode(*TOKEN_COLUMNS)
            .with_columns((pl.col(s.TOKEN_DAYS_AGO).shift(1) - pl.col(s.TOKEN_DAYS_AGO)).over("row").alias("gap"))
        )
        numbers = flat.select(pl.col(*TOKEN_NUMBERS, "gap").fill_null(0.0).cast(pl.Float64)).to_numpy()
        if self.reads_weekdays:
            numbers = np.hstack([numbers, _weekday_circle(flat)])
        kinds = flat[s.TOKEN_TYPE].replace_strict(_TYPE_INDEX, default=0, return_dtype=pl.Int64)
        normal = (_signed_log(numbers) - self.mean) / self.scale
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return Tokens(kinds.to_numpy(), np.clip(normal, -99, 99).astype(np.float32), starts)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What to store beside `max_tokens`."""
        return {"token_mean": self.mean, "token_scale": self.scale}

    @classmethod
    def from_arrays(cls, max_tokens: int, arrays: Mapping[str, NDArray], *, reads_weekdays: bool = False) -> Self:
        """Restore from `arrays`."""
        return cls(max_tokens, arrays["token_mean"], arrays["token_scale"], reads_weekdays)


def _weekday_circle(tokens: pl.DataFrame) -> FloatArray:
    """Sine and cosine of each token's weekday, (T, 2): Sunday lies as near to Monday as Monday to Tuesday."""
    day = tokens[t.AS_OF].dt.epoch("d").to_numpy() - np.ceil(tokens[s.TOKEN_DAYS_AGO].to_numpy())
    angle = 2 * np.pi * day / 7
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def _signed_log(values: FloatArray) -> FloatArray:
    """Odd logarithm: sign(x) log(1 + |x|)."""
    return np.sign(values) * np.log1p(np.abs(values))
