"""The rhythm of a user's order days, from the day tokens: per week, gaps between them, exponentially decayed counts.

Activity features sum up over windows; these look at timing: how usual is a silence as long as the present one?
"""

import polars as pl

from everstay import tables as t
from everstay.features import sequences as s

RECENCY = "recency_days"
TENURE = "tenure_days"

_WEEKS = 13
_FADING_DAYS = (5, 10, 20, 40, 80, 160)
_FADING_AMOUNT_DAYS = (10, 40, 160)
_SILENCE_DAYS = 28
_IMAGINED_GAPS, _IMAGINED_SHARE = 2.0, 0.14  # pseudo-gaps that smooth the share of a user's few gaps

_AGO, _GAP, _AMOUNT = pl.col(s.TOKEN_DAYS_AGO), pl.col("gap"), pl.col(s.TOKEN_AMOUNT)


def _weekly() -> list[pl.Expr]:
    """Order days in each of the last weeks; week 0 holds the days 1 to 7 ago."""
    weeks = ((7 * week + 0.5 < _AGO) & (7 * week + 7.5 >= _AGO) for week in range(_WEEKS))
    return [inside.sum().cast(pl.Float64).alias(f"order_days_week_{week}") for week, inside in enumerate(weeks)]


def _gaps() -> list[pl.Expr]:
    """Distribution of the gaps, and where the present silence stands in it."""
    recency, tenure = pl.col(RECENCY).first(), pl.col(TENURE).first()
    long_silence = (_GAP - _SILENCE_DAYS).clip(0).sum() + (recency - _SILENCE_DAYS).clip(0)
    longer, much_longer = (recency < _GAP).sum(), (recency + _SILENCE_DAYS < _GAP).sum()
    return [
        (_GAP >= 28).sum().cast(pl.Float64).alias("gaps_over_28_days"),
        (_GAP >= 14).sum().cast(pl.Float64).alias("gaps_over_14_days"),
        (_GAP >= 28).mean().alias("gaps_over_28_days_share"),
        (_GAP >= 21).mean().alias("gaps_over_21_days_share"),
        _GAP.quantile(0.9).alias("gap_quantile_90_days"),
        _GAP.quantile(0.75).alias("gap_quantile_75_days"),
        _GAP.tail(3).max().alias("gap_max_of_last_3_days"),
        _GAP.tail(5).mean().alias("gap_mean_of_last_5_days"),
        (recency < _GAP).mean().alias("gaps_over_recency_share"),
        ((much_longer + _IMAGINED_GAPS * _IMAGINED_SHARE) / (longer + _IMAGINED_GAPS)).alias("silence_goes_on_share"),
        (recency / (_GAP.quantile(0.9) + 1)).alias("recency_to_gap_quantile_90"),
        long_silence.alias("long_silence_days"),
        (long_silence / tenure.clip(_SILENCE_DAYS)).alias("long_silence_share"),
    ]


def _fading() -> list[pl.Expr]:
    """Order days and money, each weighted by exp(-days ago / n)."""
    counts = [(-_AGO / days).exp().sum().alias(f"order_days_fading_{days}d") for days in _FADING_DAYS]
    money = [((-_AGO / days).exp() * _AMOUNT).sum().alias(f"spend_fading_{days}d") for days in _FADING_AMOUNT_DAYS]
    ratio = (-_AGO / 20).exp().sum() / ((-_AGO / 80).exp().sum() + 0.1)
    return [*counts, *money, ratio.alias("order_days_fading_20d_to_80d")]


_EXPRESSIONS = (*_weekly(), *_gaps(), *_fading())
CADENCE_COLUMNS = tuple(expression.meta.output_name() for expression in _EXPRESSIONS)


def cadence(rows: pl.DataFrame, max_tokens: int) -> pl.DataFrame:
    """Compute `CADENCE_COLUMNS` of N rows, in their order: Float64, null for a user without an order day.

    Args:
        rows: with the token lists, `recency_days` and `tenure_days`.
        max_tokens: number of latest tokens used, so that longer lists change nothing.
    """
    lists = [s.TOKEN_TYPE, s.TOKEN_DAYS_AGO, s.TOKEN_AMOUNT]
    numbered = rows.select(RECENCY, TENURE, pl.col(lists).list.tail(max_tokens)).with_row_index("row")
    order_days = (
        numbered.filter(pl.col(s.TOKEN_TYPE).list.len() > 0)
        .explode(lists)
        .filter(pl.col(s.TOKEN_TYPE) == t.PURCHASE)
        .with_columns(_AGO.cast(pl.Float64), _AMOUNT.cast(pl.Float64))
        .with_columns((_AGO.shift(1) - _AGO).over("row").alias("gap"))
    )
    table = order_days.group_by("row", maintain_order=True).agg(_EXPRESSIONS)
    found = numbered.select("row").join(table, on="row", how="left", maintain_order="left")
    return found.select(pl.col(CADENCE_COLUMNS).cast(pl.Float64))
