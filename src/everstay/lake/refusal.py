"""Which staged rows cannot be stored, and why, in words a person can act on."""

import polars as pl

from everstay import tables as t

_RATING_RANGE = (1, 5)
_MONEY = (t.AMOUNT, t.DISCOUNT)


def split_refused(staged: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part staged events into rows to store and rows to quarantine.

    Args:
        staged: columns of `events` plus `source_file`, `source_row`, `problem` (what the source could not parse)
            and `content` (the raw row, may be null).

    Returns:
        The good rows (columns of `events`, `source_file`, `source_row`), and the refused ones as `quarantine`.
    """
    problems = pl.concat_str([pl.col(t.PROBLEM), *_rules()], separator="; ", ignore_nulls=True)
    judged = staged.with_columns(problems.alias(t.PROBLEM))
    is_bad = pl.col(t.PROBLEM).is_not_null() & (pl.col(t.PROBLEM) != "")
    good = judged.filter(~is_bad).drop(t.PROBLEM, t.CONTENT)
    return good, to_quarantine(judged.filter(is_bad))


def to_quarantine(refused: pl.DataFrame) -> pl.DataFrame:
    """Refused staged rows as the `quarantine` table; the typed row stands in where the raw one is not kept."""
    typed = pl.struct(c for c in t.EVENTS.columns if c in refused.columns).struct.json_encode()
    raw = pl.col(t.CONTENT) if t.CONTENT in refused.columns else pl.lit(None, pl.String)
    return t.QUARANTINE.conform(
        refused.select(t.SOURCE_FILE, t.SOURCE_ROW, t.PROBLEM, pl.coalesce(raw, typed).alias(t.CONTENT))
    )


def _rules() -> list[pl.Expr]:
    """One expression a rule: null where the rule holds, else words."""
    is_unexplained = pl.col(t.PROBLEM).is_null()  # else the source has said why there is no value
    missing = [
        _when(pl.col(name).is_null() & is_unexplained, pl.lit(f"{name}: is missing"))
        for name in sorted(t.EVENTS.required)
    ]
    empty_ids = [
        _when(pl.col(name).str.strip_chars() == "", pl.lit(f"{name}: is empty")) for name in (t.EVENT_ID, t.USER_ID)
    ]
    money = [
        _when(~pl.col(name).is_finite() | (pl.col(name) < 0), pl.format(f"{name}: {{}} is not zero or more", name))
        for name in _MONEY
    ]
    return [
        *missing,
        *empty_ids,
        *money,
        _when(~pl.col(t.EVENT_TYPE).is_in(t.EVENT_TYPES),
              pl.format("event_type: '{}' is unknown; map it in source.files.event_types", t.EVENT_TYPE)),
        _when(pl.col(t.QUANTITY) < 0,
              pl.format("quantity: {} is negative; a return is an event of type return", t.QUANTITY)),
        _when(~pl.col(t.RATING).is_between(*_RATING_RANGE), pl.format("rating: {} is not within 1 to 5", t.RATING)),
        _when(pl.col(t.RECORDED_AT) < pl.col(t.OCCURRED_AT), pl.lit("recorded_at: is before occurred_at")),
    ]  # fmt: skip


def _when(broken: pl.Expr, words: pl.Expr) -> pl.Expr:
    return pl.when(broken.fill_null(value=False)).then(words).otherwise(None)
