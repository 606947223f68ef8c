"""Why a user scores as they do: what changes in the model's log-odds when a group of features takes its usual value.

Honest about the served model and nothing more: an association, not a cause; correlated groups share what they tell.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.churn.encoding import FEATURE_COLUMNS
from everstay.features import FEATURES

Scores = Callable[[pl.DataFrame], NDArray[np.float64]]

REASONS = 3
_SMALLEST = 0.02  # log-odds; less is no reason
_DECLARED = {feature.name: feature for feature in FEATURES}


@dataclass(frozen=True)
class _Group:
    """Features that say nearly the same; the first one is told."""

    columns: tuple[str, ...]


def _group(told: str, *prefixes: str) -> _Group:
    return _Group((told, *(name for name in FEATURE_COLUMNS if name.startswith(prefixes) and name != told)))


GROUPS = (
    _group("recency_days", "recency_", "inactive_"),
    _group("gap_median_days", "gap_"),
    _group("orders_84d", *(f"{word}_{days}d" for word in ("orders", "active_days") for days in (7, 28, 84, 364))),
    _group("orders_trend_28d", "orders_trend_", "spend_trend_"),
    _group("spend_84d", *(f"spend_{days}d" for days in (7, 28, 84, 364))),
    _group("items_84d", "items_", "distinct_items_"),
    _group("distinct_categories_84d", "distinct_categories_"),
    _group("basket_84d", "basket_"),
    _group("discount_share_84d", "discount_"),
    _group("coupons_84d", "coupons_"),
    _group("views_28d", "views_", "clicks_", "searches_"),
    _group("carts_28d", "carts_"),
    _group("returns_84d", "returns_"),
    _group("tenure_days", "tenure_"),
)


def usual_values(rows: pl.DataFrame) -> dict[str, float | None]:
    """Median of each feature over training rows; null where it is always undefined."""
    return rows.select(pl.col(FEATURE_COLUMNS).median()).row(0, named=True)


def explain(scores: Scores, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> list[list[str]]:
    """Up to three reasons per row, the strongest first; none when nothing sets the user apart.

    Args:
        scores: the model's log-odds of rows.
        rows: one user and as-of each, N of them.
        usual: from `usual_values`.
    """
    if rows.is_empty():
        return []
    changed = [
        rows.with_columns(pl.lit(usual[name], pl.Float64).alias(name) for name in group.columns) for group in GROUPS
    ]
    odds = scores(pl.concat([rows, *changed])).reshape(len(GROUPS) + 1, rows.height)
    effects = odds[0] - odds[1:]
    told = [_told(rows, index, effects[index], usual) for index in range(len(GROUPS))]
    kept = (
        pl.concat(told)
        .filter(pl.col("effect").abs() >= _SMALLEST)
        .sort(pl.col("effect").abs(), descending=True, maintain_order=True)
        .group_by("row", maintain_order=True)
        .agg(pl.col("reason").head(REASONS))
    )
    order = pl.DataFrame({"row": np.arange(rows.height, dtype=np.uint32)})
    reasons: list[list[str]] = (
        order.join(kept, on="row", how="left", maintain_order="left")["reason"].fill_null([]).to_list()
    )
    return reasons


def _told(
    rows: pl.DataFrame, index: int, effect: NDArray[np.float64], usual: Mapping[str, float | None]
) -> pl.DataFrame:
    """Row number, effect and words of one group: `raises the risk: 45 days since the last order (usually 4)`."""
    feature = _DECLARED[GROUPS[index].columns[0]]
    meaning = feature.meaning.split(";")[0]
    window = f" in {feature.window_days} days" if feature.window_days and "window" not in meaning else ""
    direction = pl.when(pl.col("effect") > 0).then(pl.lit("raises the risk")).otherwise(pl.lit("lowers the risk"))
    value = _number(pl.col(feature.name))
    median = pl.DataFrame({"usual": usual[feature.name]}, schema={"usual": pl.Float64}).select(_number(pl.col("usual")))
    text = pl.format(
        "{}: {}{}: {} {} (usually {})",
        direction,
        pl.lit(meaning),
        pl.lit(window),
        value,
        pl.lit(feature.unit),
        pl.lit(median.item()),
    )
    frame = rows.select(pl.col(feature.name), pl.Series("effect", effect)).with_row_index("row")
    return frame.select("row", "effect", text.alias("reason"))


def _number(value: pl.Expr) -> pl.Expr:
    """Two significant decimals for small numbers, none for large ones."""
    whole = value.round(0).cast(pl.Int64, strict=False).cast(pl.String)
    short = value.round(2).cast(pl.String).str.strip_suffix(".0")
    return pl.when(value.is_null()).then(pl.lit("none")).when(value.abs() >= 10).then(whole).otherwise(short)
