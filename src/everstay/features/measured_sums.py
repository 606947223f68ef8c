"""Sums over single events: a user's own actions, their time of day and week, ratings, responses."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everstay import tables as t
from everstay.features import kernels
from everstay.features.blocks import Block, Columns, Inputs, always, asked_for, is_own, is_type, with_windows, zeros
from everstay.features.code_kernels import answers
from everstay.features.event_sums import kinds_of
from everstay.features.kernels import DAY, Days, Ints
from everstay.features.ledger import HOUR, MONEY, Ledger

ANSWER_DAYS = 7
"""Days within which a purchase counts as the answer to a message, or to an item put into the cart."""
PARTS_OF_DAY = ("night", "morning", "afternoon", "evening")
"""Six hours each, from midnight UTC."""
LOW_RATING = 2

Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Measure:
    """What is summed up over events.

    Attributes:
        counts: (N,) which events count.
        value: (N,) of each; None: 1.
        begin: (N,) first day on which it counts; None: the day on which the event is known.
        columns: of `tables.EVENTS` that are read.
    """

    counts: Callable[[Ledger], Rows]
    value: Callable[[Ledger], Ints] | None = None
    begin: Callable[[Ledger], Days] | None = None
    columns: tuple[str, ...] = ()


def _weekend(ledger: Ledger) -> Rows:
    return is_own(ledger) & ((ledger.moment // DAY + 3) % 7 >= 5)


def _part_of_day(number: int) -> Callable[[Ledger], Rows]:
    return lambda ledger: is_own(ledger) & (ledger.moment % DAY // (6 * HOUR) == number)


def _of(kind: str) -> Callable[[Ledger], Rows]:
    return lambda ledger: is_type(ledger, kind)


def _answered(kind: str) -> Callable[[Ledger], Days]:
    def begin(ledger: Ledger) -> Days:
        result, limit = always(ledger), ANSWER_DAYS * DAY
        bought = is_type(ledger, t.PURCHASE)
        answers(ledger.starts, is_type(ledger, kind), bought, ledger.moment, ledger.begin, limit, result)
        return result

    return begin


MEASURES: Mapping[str, Measure] = {
    "own_events": Measure(is_own),
    "weekend_events": Measure(_weekend),
    **{f"{part}_events": Measure(_part_of_day(number)) for number, part in enumerate(PARTS_OF_DAY)},
    "returned_pieces": Measure(
        _of(t.RETURN), lambda ledger: ledger.numbers(t.QUANTITY).astype(np.int64), columns=(t.QUANTITY,)
    ),
    "rated": Measure(lambda ledger: ledger.stars > 0, columns=(t.RATING,)),
    "stars": Measure(lambda ledger: ledger.stars > 0, lambda ledger: ledger.stars, columns=(t.RATING,)),
    "low_rated": Measure(lambda ledger: (ledger.stars > 0) & (ledger.stars <= LOW_RATING * MONEY), columns=(t.RATING,)),
    "campaign_purchases": Measure(
        lambda ledger: is_type(ledger, t.PURCHASE) & (ledger.codes(t.CAMPAIGN_ID)[0] >= 0), columns=(t.CAMPAIGN_ID,)
    ),
    "answered_messages": Measure(_of(t.MESSAGE_SENT), begin=_answered(t.MESSAGE_SENT)),
    "answered_carts": Measure(_of(t.CART), begin=_answered(t.CART)),
}


def sum_rows(ledger: Ledger, measure: Measure, windows: Days) -> Ints:
    """Sum a measure within windows (1, W, S, U)."""
    sums = zeros(ledger, 1, len(windows))
    value = None if measure.value is None else measure.value(ledger)
    begin = ledger.begin if measure.begin is None else measure.begin(ledger)
    kernels.window_sums(
        ledger.starts, kinds_of(measure.counts(ledger)), value, ledger.day, begin, None,
        ledger.calendar.table, windows, sums,
    )  # fmt: skip
    return sums


def _measured(inputs: Inputs, names: Collection[str]) -> Columns:
    for word, measure in MEASURES.items():
        asked, windows = asked_for(names, [word])
        if asked:
            yield from with_windows(asked, windows, sum_rows(inputs.ledger, measure, windows))


MEASURED = Block({word: measure.columns for word, measure in MEASURES.items()}, _measured)
