"""Hypothesis strategies for small event frames, with times that love the edges of windows."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

from everstay import tables as t

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
PROPERTY = settings(deadline=None, max_examples=25, derandomize=True)
"""The machine may be busy, and a test that fails today must fail tomorrow."""

ITEMS = t.ITEMS.conform(
    pl.DataFrame(
        {
            t.ITEM_ID: ["i0", "i1", "i2", "i3", "i4"],
            t.CATEGORY: ["food", "food", "toys", "toys", None],
            t.BRAND: ["ours", "ours", "theirs", None, "theirs"],
        }
    )
)
"""The catalogue; events also name `i5`, which is not in it."""

_DAYS = (-400, -365, -364, -336, -168, -100, -85, -84, -57, -56, -30, -29, -28, -14, -8, -7, -3, -2, -1)
_LATER_DAYS = (0, 1, 2, 7, 20, 27, 28, 29, 30, 31, 40, 58)
_WITHIN = (
    timedelta(0), timedelta(microseconds=1), timedelta(minutes=29), timedelta(hours=9, minutes=7),
    timedelta(hours=9, minutes=37), timedelta(hours=9, minutes=37, microseconds=1), timedelta(hours=17),
    timedelta(days=1, microseconds=-1),
)  # fmt: skip
_LATE = (timedelta(0), timedelta(0), timedelta(0), timedelta(seconds=1), timedelta(days=3), timedelta(days=40))
_TYPES = (*(t.PURCHASE,) * 5, *t.EVENT_TYPES, t.VIEW, t.CART, t.MESSAGE_SENT)
_RATED = (t.RATE, t.REVIEW)


@st.composite
def event_rows(draw: st.DrawFn, days: tuple[int, ...] = (*_DAYS, *_LATER_DAYS)) -> dict[str, object]:
    """One event around `AS_OF`, as a mapping from column to value, without an id."""
    occurred_at = AS_OF + timedelta(days=draw(st.sampled_from(days))) + draw(st.sampled_from(_WITHIN))
    kind = draw(st.sampled_from(_TYPES))
    return {
        t.USER_ID: draw(st.sampled_from(("u0", "u1", "u2"))),
        t.ITEM_ID: draw(st.sampled_from(("i0", "i1", "i2", "i3", "i4", "i5", None))),
        t.EVENT_TYPE: kind,
        t.OCCURRED_AT: occurred_at,
        t.RECORDED_AT: occurred_at + draw(st.sampled_from(_LATE)),
        t.ORDER_ID: draw(st.sampled_from(("o0", "o1", "o2", "o3", None))),
        t.SESSION_ID: draw(st.sampled_from(("s0", "s1", None, None, None))),
        t.CAMPAIGN_ID: draw(st.sampled_from(("c0", "c1", None))),
        t.RATING: draw(st.sampled_from((1.0, 2.0, 2.5, 5.0, None))) if kind in _RATED else None,
        t.QUANTITY: draw(st.integers(0, 3)),
        t.AMOUNT: draw(st.integers(0, 10_000)) / 100,
        t.DISCOUNT: draw(st.integers(0, 500)) / 100,
    }


def event_frames(days: tuple[int, ...] = (*_DAYS, *_LATER_DAYS), max_size: int = 30) -> st.SearchStrategy[pl.DataFrame]:
    """Conforming `tables.EVENTS` of up to three users; an empty frame is one of them."""
    return st.lists(event_rows(days), max_size=max_size).map(frame_of)


def purchase_lines() -> st.SearchStrategy[list[dict[str, object]]]:
    """Lines of few orders in few days, some of which are recorded later than others of their order."""
    row = event_rows((-5, -4, -3, -2, -1)).map(lambda row: {**row, t.EVENT_TYPE: t.PURCHASE, t.RATING: None})
    return st.lists(row, min_size=10, max_size=30)


def frame_of(rows: list[dict[str, object]]) -> pl.DataFrame:
    """Event rows as `tables.EVENTS`, ids numbered in the order of rows."""
    schema = {name: dtype for name, dtype in t.EVENTS.columns.items() if name != t.EVENT_ID}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return t.EVENTS.conform(frame.with_columns(pl.int_range(pl.len()).cast(pl.String).alias(t.EVENT_ID)))


def event(
    user: str, event_type: str, days: float, *, order: str | None = None, item: str | None = "i0", late_days: float = 0,
    quantity: int = 1,
) -> dict[str, object]:  # fmt: skip
    """One event by hand, `days` after `AS_OF` and recorded `late_days` later; costs 10 with 1 off."""
    occurred_at = AS_OF + timedelta(days=days)
    return {
        t.USER_ID: user,
        t.ITEM_ID: item,
        t.EVENT_TYPE: event_type,
        t.OCCURRED_AT: occurred_at,
        t.RECORDED_AT: occurred_at + timedelta(days=late_days),
        t.ORDER_ID: order,
        t.QUANTITY: quantity,
        t.AMOUNT: 10.0,
        t.DISCOUNT: 1.0,
    }


def is_known(row: dict[str, object], moment: datetime) -> bool:
    """Whether a feature as of `moment` may use the event."""
    return row[t.OCCURRED_AT] < moment and row[t.RECORDED_AT] < moment  # type: ignore[operator]
