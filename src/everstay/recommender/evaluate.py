"""Quality of lists: full ranking against the next basket, per user, repeat and explore, by length of history.

The denominator of recall is the number of distinct items in the next basket, including those outside the vocabulary:
an item that a model does not know is a miss.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features.sequences import HISTORY_ITEM, HISTORY_ORDER, TARGET_ITEM
from everstay.metrics import ranking
from everstay.metrics.comparison import Interval, mean_interval
from everstay.metrics.report import CandidateReport
from everstay.recommender.histories import read_histories
from everstay.recommender.model import ListModel, SegmentRanker
from everstay.recommender.plots import draw_recall
from everstay.recommender.rows import BasketRows, with_targets
from everstay.recommender.vocabulary import ITEM_INDEX
from everstay.settings import Settings

METRICS = {
    "ndcg": ranking.ndcg_at_k,
    "recall": ranking.recall_at_k,
    "mrr": ranking.mrr_at_k,
    "hit_rate": ranking.hit_rate_at_k,
}
"""Judged per user at k = the length of the list."""

ORDERS = "orders"
LENGTHS = ((0, 0), (1, 4), (5, 19), (20, 49), (50, None))
"""Slices of users by their orders before the as-of, bounds included."""


class Bootstrap(TypedDict):
    """How intervals are drawn."""

    resamples: int
    confidence: float
    seed: int


def bootstrap(settings: Settings) -> Bootstrap:
    """Bootstrap settings of the intervals over users."""
    policy = settings.promotion
    return {"resamples": policy.resamples, "confidence": policy.confidence, "seed": settings.training.seed}


def per_user_metrics(model: ListModel, rows: pl.DataFrame, targets: pl.DataFrame, k: int) -> pl.DataFrame:
    """Judge a model for every user with a next basket.

    Args:
        model: what `load_artifact` gives.
        rows: `USER_ID`, `AS_OF` and the history lists; a user who is not here is cold.
        targets: `USER_ID` and `target_item`, as `features.next_basket` gives them; other columns are ignored.
        k: length of the lists.

    Returns:
        `USER_ID`, `ndcg`, `recall`, `mrr`, `hit_rate` (Float64), sorted by user: the same users in the same order for
        every model, so that values can be compared in pairs.
    """
    asked = targets.select(t.USER_ID, TARGET_ITEM).filter(pl.col(TARGET_ITEM).list.len() > 0)
    histories = rows.select(pl.exclude(TARGET_ITEM))
    joined = asked.join(histories, on=t.USER_ID, how="left").sort(t.USER_ID)
    return judge_lists(model.plain_lists(joined, k), joined, k).select(t.USER_ID, *METRICS)


def judge_lists(lists: pl.DataFrame, rows: pl.DataFrame, k: int) -> pl.DataFrame:
    """Compare lists with the next baskets of the same users.

    Args:
        lists: `USER_ID`, `RANK`, `ITEM_ID`.
        rows: one per user: `USER_ID`, history lists, `target_item` (not empty, distinct items).
        k: length of the lists.

    Returns:
        `USER_ID`, `orders` (before the as-of), the metrics, and each of them as `_repeat` and `_explore` (NaN for a
        user without such targets); in the order of `rows`.
    """
    users = rows.select(t.USER_ID).with_row_index("row")
    bought = rows.select(t.USER_ID, pl.col(HISTORY_ITEM).alias(t.ITEM_ID)).drop_nulls().explode(t.ITEM_ID).unique()
    bought = bought.with_columns(pl.lit(True).alias("is_repeat"))
    targets = (
        rows.select(t.USER_ID, pl.col(TARGET_ITEM).alias(t.ITEM_ID))
        .explode(t.ITEM_ID)
        .join(bought, on=[t.USER_ID, t.ITEM_ID], how="left")
        .with_columns(pl.col("is_repeat").fill_null(False))
        .join(users, on=t.USER_ID)
    )
    hits = lists.join(targets, on=[t.USER_ID, t.ITEM_ID]).select("row", t.RANK, "is_repeat")
    orders = pl.col(HISTORY_ORDER).list.max().cast(pl.Int64) + 1
    judged = rows.select(t.USER_ID, orders.fill_null(0).alias(ORDERS))
    parts = (("", pl.lit(True)), ("_repeat", pl.col("is_repeat")), ("_explore", ~pl.col("is_repeat")))
    for suffix, part in parts:
        found = _grid(hits.filter(part), rows.height, k)
        counts = np.bincount(targets.filter(part)["row"].to_numpy(), minlength=rows.height)
        values = {f"{name}{suffix}": metric(found, counts) for name, metric in METRICS.items()}
        judged = judged.with_columns(**{name: pl.Series(value) for name, value in values.items()})
    return judged


def _grid(hits: pl.DataFrame, users: int, k: int) -> NDArray[np.bool_]:
    grid = np.zeros((users, k), dtype=bool)
    grid[hits["row"].to_numpy(), hits[t.RANK].to_numpy() - 1] = True
    return grid


def report_candidate(
    model: ListModel,
    early: ListModel,
    rows: BasketRows,
    settings: Settings,
    *,
    artifact: Path,
    params: Mapping[str, str | int | float | bool],
    curves: Mapping[str, list[float]],
) -> CandidateReport:
    """Judge a candidate.

    Args:
        model: the one that serves, fitted as of the test; judged there.
        early: the one fitted as of the validation; judged there.
        rows: histories and next baskets of both.
        settings: length of the lists, resamples, confidence and seed of the intervals.
        artifact: the folder of `model`.
        params: passed on to the report.
        curves: passed on to the report.
    """
    judged, metrics = _judge("test", model, rows.test, settings)
    _, validation = _judge("validation", early, rows.validation, settings)
    recall = {label: mean_interval(part["recall"], **bootstrap(settings)) for label, part in length_slices(judged)}
    return CandidateReport(
        name=model.name,
        params=params,
        metrics={**validation, **metrics},
        curves=curves,
        figures={"recall_by_history.png": draw_recall(recall, settings.recommender.list_length)},
        artifact=artifact,
    )


def _judge(
    part: str, model: ListModel, rows: pl.DataFrame, settings: Settings
) -> tuple[pl.DataFrame, dict[str, Interval]]:
    """Per-user values of one part, and their means: overall, by kind of target and by history length."""
    k, asked = settings.recommender.list_length, with_targets(rows).sort(t.USER_ID)
    lists = model.plain_lists(asked, k)
    judged = judge_lists(lists, asked, k)
    metrics = _means(part, "", judged, settings)
    for label, users in length_slices(judged):
        metrics.update(_means(part, f"_orders_{label.replace('-', '_').replace('+', '_up')}", users, settings, METRICS))
    covered = ranking.coverage(lists[t.ITEM_ID].to_numpy(), model.vocabulary.size)
    shares = {"coverage": covered, **fallback_shares(model, asked, settings.recommender.min_item_users)}
    metrics.update({f"{part}_{name}": Interval(share, share, share) for name, share in shares.items()})
    return judged, metrics


def fallback_shares(model: ListModel, asked: pl.DataFrame, min_item_users: int) -> dict[str, float]:
    """Shares that depend on each fallback.

    Args:
        model: whose vocabulary decides what is known.
        asked: users with a next basket.
        min_item_users: an item that fewer users bought is cold.

    Returns:
        `cold_user_share`: users who bought no known item, who get what the model gives to every new user: what is
        popular. `cold_user_segment_share`: those users who get what is popular in their segment instead.
        `cold_item_share`: next-basket items that are not in the vocabulary and cannot be recommended.
        `cold_item_content_share`: those in it that too few users bought, known only by their catalogue text.
    """
    histories, ranker = read_histories(asked, model.vocabulary), model.ranker
    cold = histories.order_counts == 0
    by_segment = cold & ranker.is_served(histories) if isinstance(ranker, SegmentRanker) else np.zeros_like(cold)
    targets = asked.select(pl.col(TARGET_ITEM).explode())
    item = model.vocabulary.with_index(targets, TARGET_ITEM)[ITEM_INDEX]
    buyers = model.vocabulary.buyers[item.drop_nulls().to_numpy()]
    return {
        "cold_user_share": float(cold.mean()),
        "cold_user_segment_share": float(by_segment.mean()),
        "cold_item_share": item.null_count() / len(item),
        "cold_item_content_share": float((buyers < min_item_users).sum() / len(item)),
    }


def _means(
    part: str, suffix: str, judged: pl.DataFrame, settings: Settings, names: object = None
) -> dict[str, Interval]:
    chosen = [name for name in judged.columns if name not in (t.USER_ID, ORDERS)] if names is None else list(METRICS)
    means = {}
    for name in chosen:
        values = judged[name].drop_nans()
        if len(values):
            means[f"{part}_{name}{suffix}"] = mean_interval(values, **bootstrap(settings))
    return means


def length_slices(judged: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Users by their number of orders before the as-of: "1-4", "50+", ...; slices without a user are left out."""
    slices = []
    for low, high in LENGTHS:
        inside = (pl.col(ORDERS) >= low) & (pl.col(ORDERS) <= high if high is not None else True)
        label = f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
        slices.append((label, judged.filter(inside)))
    return [(label, users) for label, users in slices if users.height]
