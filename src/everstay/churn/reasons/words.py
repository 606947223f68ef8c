"""The wording of each group of features: plain words with the user's number beside their own usual one.

Where a user has no usual number of their own, the typical user's is shown: the median of the training rows.
"""

from collections.abc import Callable, Mapping

import polars as pl

from everstay import tables as t
from everstay.features import sequences as s

Typical = Mapping[str, float | None]
"""Feature to the median of the training rows."""

_YEAR, _RHYTHM_DAYS = 364, 84  # a user's own rate is known after a tenure of `_RHYTHM_DAYS`
_SHOWN_GAPS = 3


def number(value: pl.Expr) -> pl.Expr:
    """Rounded to a whole number from ten on, else to one decimal, without a trailing .0; null stays null.

    >>> pl.select(number(pl.Series([41.3, 7.25, 2.0]))).to_series().to_list()
    ['41', '7.2', '2']
    """
    whole = value.round(0).cast(pl.Int64, strict=False).cast(pl.String)
    short = value.round(1).cast(pl.String).str.strip_suffix(".0")
    return pl.when(value.abs() >= 10).then(whole).otherwise(short)


def counted(value: pl.Expr, one: str, many: str) -> pl.Expr:
    """A number with its noun.

    >>> pl.select(counted(pl.Series([1.0, 3.0]), "order", "orders")).to_series().to_list()
    ['1 order', '3 orders']
    """
    words = number(value)
    return pl.concat_str(words, pl.when(words == "1").then(pl.lit(f" {one}")).otherwise(pl.lit(f" {many}")))


def _days(value: pl.Expr) -> pl.Expr:
    return counted(value, "day", "days")


def _percent(value: pl.Expr) -> pl.Expr:
    return pl.concat_str((100 * value).round(0).cast(pl.Int64).cast(pl.String), pl.lit("%"))


def _typical(feature: str, typical: Typical, show: Callable[[pl.Expr], pl.Expr] = number) -> pl.Expr:
    """` (typical: 9)`, or nothing if there is no typical value."""
    value = typical.get(feature)
    return pl.lit("") if value is None else pl.concat_str(pl.lit(" (typical: "), show(pl.lit(value)), pl.lit(")"))


def _beside(text: pl.Expr, own: pl.Expr, typical: pl.Expr) -> pl.Expr:
    """Text, then the user's own usual number if there is one, then the typical user's."""
    return pl.concat_str(text, pl.concat_str(pl.lit(", usually "), own).fill_null(""), typical)


def _own_rate(name: str, days: int) -> pl.Expr:
    """A user's mean of a sum over windows of `days`, in the last year or the known part of it."""
    known = pl.min_horizontal(pl.col("tenure_days"), pl.lit(float(_YEAR)))
    return pl.when(known >= _RHYTHM_DAYS).then(pl.col(f"{name}_{_YEAR}d") * days / known)


def _every(gap: pl.Expr) -> pl.Expr:
    days = number(gap)
    return pl.when(days == "1").then(pl.lit("every day")).otherwise(pl.concat_str(pl.lit("every "), days))


def _silence(typical: Typical) -> pl.Expr:
    recency, gap = pl.col("recency_days"), pl.col("gap_median_days")
    ago = pl.concat_str(pl.lit("last order "), _days(recency), pl.lit(" ago"))
    recent = pl.when(recency < 1).then(pl.lit("last order within a day")).otherwise(ago)
    away = pl.concat_str(pl.lit("no order for "), _days(recency))
    text = pl.when(recency > gap.fill_null(typical.get("recency_days") or 0.0)).then(away).otherwise(recent)
    usual = pl.coalesce(pl.concat_str(pl.lit(", usually "), _every(gap)), _typical("recency_days", typical))
    return pl.coalesce(pl.concat_str(text, usual), pl.lit("no order yet"))


def _rhythm(typical: Typical) -> pl.Expr:
    text = pl.concat_str(pl.lit("orders "), _every(pl.col("gap_median_days")), pl.lit(" days"))
    text = text.str.replace("every day days", "every day", literal=True)
    longest = pl.concat_str(pl.lit(", longest gap "), number(pl.col("gap_max_days")))
    text = pl.concat_str(text, _typical("gap_median_days", typical), longest)
    return pl.coalesce(text, pl.lit("at most one order day"))


def _orders(typical: Typical) -> pl.Expr:
    text = pl.concat_str(counted(pl.col("orders_28d"), "order", "orders"), pl.lit(" in 28 days"))
    return _beside(text, number(_own_rate("orders", 28)), _typical("orders_28d", typical))


def _trend(typical: Typical) -> pl.Expr:  # noqa: ARG001
    recent, change = pl.col("orders_28d"), pl.col("orders_trend_28d")
    before = pl.when(change > -1).then(recent * (1 - change) / (1 + change))  # the change is (recent - before) / both
    text = pl.concat_str(counted(recent, "order", "orders"), pl.lit(" in 28 days after "), number(before.round(0)))
    return pl.coalesce(
        pl.concat_str(text, pl.lit(" in the 28 before")), pl.lit("no order in 28 days, compared with before")
    )


def _spend(typical: Typical) -> pl.Expr:
    text = pl.concat_str(pl.lit("spent "), number(pl.col("spend_28d")), pl.lit(" in 28 days"))
    return _beside(text, number(_own_rate("spend", 28)), _typical("spend_28d", typical))


def _basket(typical: Typical) -> pl.Expr:
    text = pl.concat_str(number(pl.col("basket_84d")), pl.lit(" per order in 84 days"))
    told = _beside(text, number(pl.col("basket_364d")), _typical("basket_84d", typical))
    return pl.coalesce(told, pl.lit("no order in 84 days, so no basket value"))


def _discount(typical: Typical) -> pl.Expr:
    text = pl.concat_str(_percent(pl.col("discount_share_84d")), pl.lit(" discount in 84 days"))
    own = _percent(pl.col("discount_share_364d"))
    told = _beside(text, own, _typical("discount_share_84d", typical, _percent))
    none = pl.when(pl.col("orders_84d") > 0).then(pl.lit("nothing to pay")).otherwise(pl.lit("no order"))
    return pl.coalesce(told, pl.concat_str(none, pl.lit(" in 84 days, so no discount share")))


def _counts(feature: str, text: str, own: str | None = None) -> Callable[[Typical], pl.Expr]:
    """Words for a count in 84 days: `text` with its number, beside the user's own rate where `own` names the count."""

    def tell(typical: Typical) -> pl.Expr:
        told = pl.format(text, number(pl.col(feature)))
        usual = number(_own_rate(own, 84)) if own else pl.lit(None, pl.String)
        return pl.coalesce(_beside(told, usual, _typical(feature, typical)), pl.lit(text.format("none")))

    return tell


def _coupons(typical: Typical) -> pl.Expr:
    told = _counts("coupons_84d", "coupons redeemed in 84 days: {}", "coupons")(typical)
    ago = pl.concat_str(pl.lit(", the last "), _days(pl.col("coupons_recency_days")), pl.lit(" ago"))
    return pl.concat_str(told, pl.when(pl.col("coupons_84d") == 0).then(ago).fill_null(""))


def _habit(typical: Typical) -> pl.Expr:
    shown = _typical("weekend_share_364d", typical, _percent)
    text = pl.concat_str(_percent(pl.col("weekend_share_364d")), pl.lit(" of the orders at weekends"), shown)
    return pl.coalesce(text, pl.lit("no order in a year, so no weekend share"))


def _history(typical: Typical) -> pl.Expr:  # noqa: ARG001
    is_order = pl.col(s.TOKEN_TYPE).list.eval(pl.element() == t.PURCHASE)
    ago = pl.col(s.TOKEN_DAYS_AGO).list.gather(
        is_order.list.eval(pl.arg_where(pl.element().fill_null(False))), null_on_oob=True
    )
    gaps = ago.list.eval(pl.element().shift(1) - pl.element()).list.drop_nulls().list.tail(_SHOWN_GAPS)
    shown = gaps.list.eval(pl.element().round(0).cast(pl.Int64).cast(pl.String)).list.join(", ")
    text = pl.concat_str(pl.lit("sequence of recent days: "), shown, pl.lit(" days between orders"))
    return pl.coalesce(pl.when(gaps.list.len() > 0).then(text), pl.lit("sequence of recent days"))


WORDS: Mapping[str, Callable[[Typical], pl.Expr]] = {
    "trend": _trend,
    "silence": _silence,
    "rhythm": _rhythm,
    "orders": _orders,
    "spend": _spend,
    "variety": _counts("distinct_items_84d", "different items in 84 days: {}"),
    "categories": _counts("distinct_categories_84d", "categories bought from in 84 days: {}"),
    "basket": _basket,
    "discount": _discount,
    "coupons": _coupons,
    "browsing": _counts("views_84d", "views in 84 days: {}", "views"),
    "carts": _counts("carts_84d", "carts filled in 84 days: {}", "carts"),
    "returns": _counts("returns_84d", "returns in 84 days: {}", "returns"),
    "messages": _counts("messages_opened_84d", "messages opened in 84 days: {}", "messages_opened"),
    "tenure": _counts("tenure_days", "known for {} days"),
    "habit": _habit,
    "history": _history,
}
"""Group to the expression of its words, over a row's features and token lists."""
