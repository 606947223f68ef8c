"""What features are computed from: exact integer sums, counts and times of one bucket's users at many as-ofs.

Sums run over integers (pieces, whole days, microseconds, ten-thousandths of the currency), so their bits depend on
neither the order of rows nor the number of threads. Only what is requested is computed, and only the columns that it
needs are read. A name ends in its window: `views_28d`.
"""

from collections.abc import Collection

import polars as pl

from everstay import tables as t
from everstay.features import event_sums, kernels
from everstay.features.blocks import Inputs, split_name
from everstay.features.event_sums import FIRST
from everstay.features.measured_sums import MEASURED
from everstay.features.order_sums import ORDERS
from everstay.features.population_sums import POPULATION
from everstay.features.session_sums import SESSIONS
from everstay.features.spread_sums import SPREAD

BLOCKS = (
    event_sums.COUNTS, event_sums.DISTINCT, event_sums.REPEATS, event_sums.AGES,
    ORDERS, MEASURED, SESSIONS, SPREAD, POPULATION,
)  # fmt: skip
_ALWAYS = (t.USER_ID, t.EVENT_TYPE, t.OCCURRED_AT, t.RECORDED_AT)


def event_columns(names: Collection[str]) -> list[str]:
    """The columns of `tables.EVENTS` that the sums `names` are computed from."""
    bases = {split_name(name)[0] for name in names}
    asked = {word: columns for block in BLOCKS for word, columns in block.columns.items() if word in bases}
    needed = {column for columns in asked.values() for column in columns}
    return [*_ALWAYS, *(name for name in t.EVENTS.columns if name in needed and name not in _ALWAYS)]


def longest_window(names: Collection[str]) -> int:
    """The longest window in `names`, in days."""
    return max((split_name(name)[1] for name in names), default=0)


def user_sums(inputs: Inputs, names: Collection[str]) -> pl.DataFrame:
    """Compute the sums `names` of every user at every as-of of the ledger's calendar.

    Args:
        inputs: of one bucket.
        names: counts and sums with their window, and ages in microseconds.

    Returns:
        One row for every as-of and user with an event known by then, as-ofs first: `USER_ID`, `AS_OF`, then `names`;
        an age, gap or score is null where it is undefined.

    Raises:
        ValueError: a sum needs the population, which is not given.
    """
    ledger, wanted = inputs.ledger, {FIRST, *names}
    computed = {name: array for block in BLOCKS for name, array in block.compute(inputs, wanted)}
    arrays = {name: computed[name] for name in sorted(wanted)}
    as_ofs = ledger.calendar.as_ofs
    frame = pl.DataFrame({name: pl.Series(array.reshape(-1), nan_to_null=True) for name, array in arrays.items()})
    keys = pl.DataFrame({t.AS_OF: pl.Series(as_ofs, dtype=t.TIME)}).join(ledger.users.to_frame(), how="cross")
    ages = [name for name in arrays if name.endswith("_age")]
    known = pl.col(FIRST) != kernels.NEVER
    rows = pl.concat([keys, frame], how="horizontal").lazy().filter(known)
    age = (pl.col(t.AS_OF).to_physical() - pl.col(name) for name in ages)
    is_some = (pl.col(name) != kernels.NEVER for name in ages)
    with_ages = [pl.when(some).then(value).alias(name) for name, some, value in zip(ages, is_some, age, strict=True)]
    return rows.with_columns(with_ages).select(t.USER_ID, t.AS_OF, *sorted(wanted)).collect()
