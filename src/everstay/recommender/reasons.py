"""Why an item is in a list, in words: the reason is the part that contributes most to its score."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.recommender.histories import Histories, IntArray

POPULAR = "popular now"
POPULAR_WITH = "popular with your "
"""Followed by the attribute that a segment shares."""
FITS = "fits your recent items"

_FEWEST_TIMES = 3  # two gaps, before a user's rhythm is mentioned
_DUE = 0.75  # of the mean gap between purchases


def is_impersonal(reason: pl.Expr) -> pl.Expr:
    """Whether a reason tells what is popular, with everybody or with the user's segment, and nothing of the user.

    >>> pl.DataFrame({"reason": [POPULAR, POPULAR_WITH + "age band", "bought once, today"]}).filter(
    ...     is_impersonal(pl.col("reason"))
    ... )["reason"].to_list()
    ['popular now', 'popular with your age band']
    """
    return (reason == POPULAR) | reason.str.starts_with(POPULAR_WITH)


def bought_before(histories: Histories, user: IntArray, item: IntArray) -> pl.Series:
    """For pairs (n,): "bought 7 times, last 5 days ago"; null where the user never bought the item."""
    lines = pl.DataFrame(
        {"user": histories.line_user, "item": histories.line_item, "days_ago": histories.line_days_ago}
    )
    pairs = pl.DataFrame({"user": user, "item": item})
    asked = lines.join(pairs, on=["user", "item"], how="semi").group_by("user", "item")
    known = asked.agg(pl.len().alias("count"), pl.col("days_ago").min().floor().cast(pl.Int64))
    return pairs.join(known, on=["user", "item"], how="left", maintain_order="left").select(_words())["reason"]


def due_again(histories: Histories, user: IntArray, item: IntArray) -> pl.Series:
    """For pairs (n,): "due: you buy it every 9 days, last 8 days ago"; null before three quarters of the usual gap.

    For models that use the gaps between purchases.
    """
    lines = pl.DataFrame(
        {"user": histories.line_user, "item": histories.line_item, "days_ago": histories.line_days_ago}
    )
    pairs = pl.DataFrame({"user": user, "item": item})
    ago, count = pl.col("days_ago"), pl.len()
    known = (
        lines.join(pairs, on=["user", "item"], how="semi")
        .group_by("user", "item")
        .agg(((ago.max() - ago.min()) / (count - 1).cast(pl.Float64)).alias("gap"), ago.min(), count.alias("count"))
        .filter(pl.col("count") >= _FEWEST_TIMES, ago >= _DUE * pl.col("gap"), pl.col("gap").round() > 1)
    )
    words = pl.format(
        "due: you buy it every {} days, last {} days ago", *(_whole(name) for name in ("gap", "days_ago"))
    )
    asked = pairs.join(known, on=["user", "item"], how="left", maintain_order="left")
    return asked.select(pl.when(pl.col("gap").is_not_null()).then(words).alias("reason"))["reason"]


def linked(histories: Histories, pairs: tuple[IntArray, IntArray], source: IntArray, item_ids: pl.Series) -> pl.Series:
    """Reasons of pairs (n,) to whose score an item that the user bought contributes most; null for the other pairs.

    Args:
        histories: of the users.
        pairs: user (n,) and item (n,).
        source: (n,) that item, -1 if none contributes. If it is the pair's own item, the reason is its purchases.
        item_ids: shop ids by item index.
    """
    user, item = pairs
    bought = item_ids.gather(pl.Series(source).replace(-1, None).cast(pl.UInt32))
    return ("because you bought " + bought).zip_with(pl.Series(source != item), bought_before(histories, user, item))


def heaviest(parts: Sequence[tuple[NDArray[np.floating], pl.Series | str]]) -> list[str]:
    """The reason of the part that adds most to each pair's score, the first if tied; weights (n,) and reasons (n,).

    >>> heaviest([(np.array([2.0, 0.0]), pl.Series(["bought once", None])), (np.array([1.0, 1.0]), "popular now")])
    ['bought once', 'popular now']
    """
    weights, reasons = parts[-1][0], _texts(parts[-1][1], len(parts[-1][0]))
    for more, texts in reversed(parts[:-1]):
        earlier = _texts(texts, len(more))
        is_more = (more >= weights) & earlier.is_not_null().to_numpy()
        weights = np.where(is_more, more, weights)
        reasons = earlier.zip_with(pl.Series(is_more), reasons)
    return reasons.to_list()


def first_known(*choices: tuple[NDArray[np.bool_], str] | pl.Series, otherwise: str) -> list[str]:
    """The first choice that has a reason, per pair; a choice is a series with nulls, or a mask and its text."""
    count = max(len(choice) if isinstance(choice, pl.Series) else len(choice[0]) for choice in choices)
    series = [choice if isinstance(choice, pl.Series) else _where(choice[0], choice[1]) for choice in choices]
    result = series[0]
    for other in (*series[1:], pl.Series([otherwise] * count, dtype=pl.String)):
        result = result.zip_with(result.is_not_null(), other)
    return result.to_list()


def _texts(reason: pl.Series | str, count: int) -> pl.Series:
    return pl.Series([reason] * count, dtype=pl.String) if isinstance(reason, str) else reason


def _whole(column: str) -> pl.Expr:
    return pl.col(column).round().cast(pl.Int64)


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
