"""A user compared with the population: scores among all users, popularity of what was bought, price level."""

from collections.abc import Collection

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.features import population as p
from everstay.features.blocks import (
    Block,
    Columns,
    Inputs,
    always,
    asked_for,
    is_type,
    split_name,
    with_windows,
    zeros,
)
from everstay.features.code_kernels import count_codes
from everstay.features.kernels import Days, Ints
from everstay.features.measured_sums import Measure, sum_rows

_SCORES = tuple(f"{name}_score" for name in p.STANDINGS)
_MARKET = ("item_lines", "item_popularity", "market_lines", "worth", "usual_worth")
FIFTHS = 5


def needs_population(names: Collection[str]) -> bool:
    """Whether any of these sums needs the population's."""
    return not POPULATION.columns.keys().isdisjoint(split_name(name)[0] for name in names)


def _given(inputs: Inputs) -> pl.DataFrame:
    if inputs.population is None:
        raise ValueError("a feature asked for compares users with all others: give the table of merge_population")
    return inputs.population


def _scores(inputs: Inputs, names: Collection[str]) -> Columns:
    """Fifth of the population that a user is in, from 1 to 5, by the share of users below; NaN outside it."""
    words, _ = asked_for(names, _SCORES)
    if not words:
        return
    population = _given(inputs)
    for name, numbers in p.user_standings(inputs).items():
        known = population.filter(pl.col(p.MEASURE) == name).with_columns(pl.col(p.KEY).cast(pl.Int64))
        scores = np.full(numbers.shape, np.nan)
        for at, as_of in enumerate(inputs.ledger.calendar.as_ofs):
            users = known.filter(pl.col(t.AS_OF) == as_of).sort(p.KEY)
            below = np.append(0, users[p.VALUE].cum_sum().to_numpy())
            is_compared = numbers[at] >= 0
            place = np.searchsorted(users[p.KEY].to_numpy(), numbers[at][is_compared])
            if is_compared.any() and not below[-1]:
                raise ValueError(f"the population given is not that of {as_of}")
            scores[at, is_compared] = 1 + FIFTHS * below[place] // below[-1]
        yield f"{name}_score_{p.STANDING_DAYS}d", scores


def _market(inputs: Inputs, names: Collection[str]) -> Columns:
    words, _ = asked_for(names, _MARKET)
    if not words:
        return
    population = _given(inputs)
    ledger, days = inputs.ledger, p.MARKET_DAYS
    item, items = ledger.codes(t.ITEM_ID)
    lines = _weights(inputs, population, p.ITEM_LINES, items.cast(pl.String).to_list())
    result = _weighted(inputs, item, np.ones(len(item), np.int64), lines)
    yield from with_windows(["item_lines", "item_popularity"], np.array([days]), result[[0, 3]])
    totals = population.filter(pl.col(p.MEASURE) == p.ITEM_LINES).group_by(t.AS_OF).agg(pl.col(p.VALUE).sum())
    by_as_of = dict(totals.iter_rows())
    total = np.array([by_as_of.get(as_of, 0) for as_of in ledger.calendar.as_ofs], np.int64)
    yield f"market_lines_{days}d", np.broadcast_to(total[:, None], result.shape[2:])
    category, categories = inputs.categories
    pieces, worth = (_weights(inputs, population, name, categories) for name in (p.CATEGORY_PIECES, p.CATEGORY_WORTH))
    usual = worth // np.maximum(pieces, 1)
    bought = _weighted(inputs, category, ledger.numbers(t.QUANTITY).astype(np.int64), usual)
    yield from with_windows(["usual_worth"], np.array([days]), bought[3:])
    measure = Measure(
        lambda one: is_type(one, t.PURCHASE) & (category >= 0), lambda one: one.money(t.AMOUNT) + one.money(t.DISCOUNT)
    )
    yield from with_windows(["worth"], np.array([days]), sum_rows(ledger, measure, np.array([days], np.int32)))


def _weights(inputs: Inputs, population: pl.DataFrame, measure: str, names: list[str]) -> Ints:
    """The population's values (S, codes) by code; 0 where there is none."""
    as_ofs = pl.DataFrame({t.AS_OF: pl.Series(inputs.ledger.calendar.as_ofs, dtype=t.TIME)}).with_row_index("at")
    codes = pl.DataFrame({p.KEY: pl.Series(names, dtype=pl.String)}).with_row_index("code")
    found = population.filter(pl.col(p.MEASURE) == measure).join(as_ofs, on=t.AS_OF).join(codes, on=p.KEY)
    weights = np.zeros((as_ofs.height, len(names)), np.int64)
    weights[found["at"].to_numpy(), found["code"].to_numpy()] = found[p.VALUE].to_numpy()
    return weights


def _weighted(inputs: Inputs, code: Days, value: Ints, weights: Ints) -> Ints:
    """Describe purchases in the market's window by code (4, 1, S, U): see `count_codes`."""
    ledger = inputs.ledger
    coded = np.where(is_type(ledger, t.PURCHASE), code, -1).astype(np.int32)
    result = zeros(ledger, 4, 1)
    count_codes(
        ledger.starts, coded, weights.shape[1], value, ledger.day, ledger.begin, always(ledger),
        ledger.calendar.table, np.array([p.MARKET_DAYS], np.int32), weights, result,
    )  # fmt: skip
    return result


def _population(inputs: Inputs, names: Collection[str]) -> Columns:
    yield from _scores(inputs, names)
    yield from _market(inputs, names)


POPULATION = Block(dict.fromkeys((*_SCORES, *_MARKET), p.POPULATION_COLUMNS), _population)
