"""Why an item is in a list, in words, from what the model looked at."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.recommender.histories import Histories, IntArray

POPULAR = "popular now"
FITS = "fits your recent items"


def bought_before(histories: Histories, user: IntArray, item: IntArray) -> pl.Series:
    """For pairs (n,): "bought 7 times, last 5 days ago"; null where the user never bought the item."""
    lines = pl.DataFrame(
        {"user": histories.line_user, "item": histories.line_item, "days_ago": histories.line_days_ago}
    )
    pairs = pl.DataFrame({"user": user, "item": item})
    asked = lines.join(pairs, on=["user", "item"], how="semi").group_by("user", "item")
    known = asked.agg(pl.len().alias("count"), pl.col("days_ago").min().floor().cast(pl.Int64))
    return pairs.join(known, on=["user", "item"], how="left", maintain_order="left").select(_words())["reason"]


def first_known(*choices: tuple[NDArray[np.bool_], str] | pl.Series, otherwise: str) -> list[str]:
    """The first choice that has a reason, per pair; a choice is a series with nulls, or where a text holds."""
    count = max(len(choice) if isinstance(choice, pl.Series) else len(choice[0]) for choice in choices)
    series = [choice if isinstance(choice, pl.Series) else _where(choice[0], choice[1]) for choice in choices]
    result = series[0]
    for other in (*series[1:], pl.Series([otherwise] * count, dtype=pl.String)):
        result = result.zip_with(result.is_not_null(), other)
    return result.to_list()


def _where(holds: NDArray[np.bool_], text: str) -> pl.Series:
    return pl.select(pl.when(pl.Series(holds)).then(pl.lit(text))).to_series()


def _words() -> pl.Expr:
    count, days = pl.col("count"), pl.col("days_ago")
    times = pl.when(count == 1).then(pl.lit("bought once, ")).otherwise(pl.format("bought {} times, last ", count))
    ago = (
        pl.when(days == 0)
        .then(pl.lit("today"))
        .when(days == 1)
        .then(pl.lit("1 day ago"))
        .otherwise(pl.format("{} days ago", days))
    )
    return pl.when(count.is_not_null()).then(times + ago).alias("reason")
