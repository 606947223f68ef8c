"""Which staged rows cannot be stored, and why, in words a person can act on."""

from datetime import UTC, datetime, timedelta

import polars as pl

from everstay import tables as t
from everstay.blanks import is_blank

MOST_MONEY = 1e11
"""Largest amount of an event (a house, in rupiah); a user's sums then fit in integer ten-thousandths."""

_MOST_PIECES = 1_000_000  # of one event; a user's features then stay in the range that validation expects
# What `expectations/events.json` would refuse a whole delivery for is refused here row by row, with file and row.
_RATING_RANGE = (1, 5)
_TIME_RANGE = (pl.lit(datetime(1990, 1, 1, tzinfo=UTC)), pl.lit(datetime(2100, 1, 1, tzinfo=UTC)))
_NO_IDS = ("null", "NULL", "none", "None", "nan", "NaN", "undefined", "N/A")
_MONEY = (t.AMOUNT, t.DISCOUNT)
_IDS = (t.EVENT_ID, t.USER_ID)

NOT_YET = "is in the future"
"""Part of the message for a time that lies ahead: the same row may be stored later."""

Rule = tuple[pl.Expr, pl.Expr]  # whether it is broken, and the message


def split_refused(staged: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split staged events into rows to store and rows to quarantine.

    Args:
        staged: columns of `events` plus `source_file`, `source_row`, `problem` (what the source could not parse)
            and `content` (the raw row, may be null). An absent `event_id` is not an error: it will be made.

    Returns:
        The good rows (columns of `events`, `source_file`, `source_row`), and the refused ones as `quarantine`.
    """
    is_bad = _has_problem(staged) | pl.any_horizontal(broken.fill_null(value=False) for broken, _ in _rules(staged))
    verdict = staged.select(is_bad.alias(t.PROBLEM)).to_series()
    good = staged.drop(t.PROBLEM, t.CONTENT)
    if not verdict.any():
        return good, t.QUARANTINE.empty()
    refused = staged.filter(verdict).rechunk()  # Polars 2.1 cannot format a column of which a chunk is empty
    words = [pl.when(broken.fill_null(value=False)).then(text) for broken, text in _rules(refused)]  # refused only
    problems = pl.concat_str([pl.col(t.PROBLEM), *words], separator="; ", ignore_nulls=True)
    refused = refused.with_columns(problems.alias(t.PROBLEM))
    return good.filter(~verdict), to_quarantine(refused)


def to_quarantine(refused: pl.DataFrame) -> pl.DataFrame:
    """Refused staged rows as the `quarantine` table; the typed row stands in where the raw one is not kept."""
    typed = pl.struct(c for c in t.EVENTS.columns if c in refused.columns).struct.json_encode()
    raw = pl.col(t.CONTENT) if t.CONTENT in refused.columns else pl.lit(None, pl.String)
    return t.QUARANTINE.conform(
        refused.select(t.SOURCE_FILE, t.SOURCE_ROW, t.PROBLEM, pl.coalesce(raw, typed).alias(t.CONTENT))
    )


def _has_problem(staged: pl.DataFrame) -> pl.Expr:
    """Whether the source reported a problem with a row; usually it reports none at all."""
    if staged[t.PROBLEM].null_count() == staged.height:
        return pl.lit(value=False)
    return pl.col(t.PROBLEM).is_not_null() & (pl.col(t.PROBLEM) != "")


def _rules(staged: pl.DataFrame) -> list[Rule]:
    tomorrow = pl.lit(datetime.now(UTC) + timedelta(days=1), t.TIME)
    which = pl.when(pl.col(t.OCCURRED_AT) > tomorrow).then(pl.lit(t.OCCURRED_AT)).otherwise(pl.lit(t.RECORDED_AT))
    ids = [name for name in _IDS if name in staged.columns]
    is_unexplained = pl.col(t.PROBLEM).is_null()  # else the source has said why there is no value
    missing = [
        (pl.col(name).is_null() & is_unexplained, pl.lit(f"{name}: is missing"))
        for name in sorted(t.EVENTS.required.difference({t.EVENT_ID}).union(ids))
        if staged[name].null_count()
    ]
    blank = [(pl.lit(is_blank(staged[name])), pl.lit(f"{name}: is empty")) for name in ids]
    money = [
        (~pl.col(name).is_between(0, float("inf"), closed="left"), pl.format(f"{name}: {{}} is not zero or more", name))
        for name in _MONEY
    ]
    riches = [
        (
            pl.col(name).is_finite() & (pl.col(name) > MOST_MONEY),
            pl.format(f"{name}: {{}} is above a hundred billion", name),
        )
        for name in _MONEY
    ]
    no_id = [
        (pl.col(name).is_in(_NO_IDS), pl.format(f"{name}: '{{}}' is not an id; leave it empty if there is none", name))
        for name in (*ids, t.ITEM_ID)
    ]
    return [
        *missing,
        *blank,
        *no_id,
        *money,
        *riches,
        (~pl.col(t.OCCURRED_AT).is_between(*_TIME_RANGE),
         pl.format("occurred_at: {} is not between 1990 and 2100", t.OCCURRED_AT)),
        (~pl.col(t.EVENT_TYPE).is_in(t.EVENT_TYPES),
         pl.format("event_type: '{}' is unknown; map it in event_types of the source", t.EVENT_TYPE)),
        (pl.col(t.QUANTITY) < 0,
         pl.format("quantity: {} is negative; if that means a return, set negative_quantity to return",
                   t.QUANTITY)),
        (pl.col(t.QUANTITY) > _MOST_PIECES, pl.format("quantity: {} is above a million", t.QUANTITY)),
        (~pl.col(t.RATING).is_between(*_RATING_RANGE), pl.format("rating: {} is not within 1 to 5", t.RATING)),
        (pl.col(t.RECORDED_AT) < pl.col(t.OCCURRED_AT), pl.lit("recorded_at: is before occurred_at")),
        (pl.col(t.RECORDED_AT) > tomorrow,
         pl.format(f"{{}}: {{}} {NOT_YET}; check the time zone and the order of day and month", which,
                   t.RECORDED_AT)),
    ]  # fmt: skip
