"""All features, and their computation: floats appear only in this last step, by a few divisions per cell.

They are declared by subject in `windowed`, `behaviour`, `purchasing` and `relations`, each once, with its value as an
expression over exact sums (see `sums`).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain

import polars as pl
import pyarrow as pa

from everstay import tables as t
from everstay.features import behaviour, purchasing, relations, windowed
from everstay.features.blocks import Inputs
from everstay.features.feature import Feature
from everstay.features.ledger import Ledger
from everstay.features.population import merge_population, population_slices
from everstay.features.population_sums import needs_population as is_of_population
from everstay.features.sums import event_columns, longest_window, user_sums

WINDOWS = (7, 28, 84, 364)
TREND_WINDOWS = (28, 84)
RECENT_WINDOWS, LONG_WINDOWS = (28, 84), (84, 364)


def declare_sections(windows: Sequence[int] = WINDOWS) -> Mapping[str, tuple[Feature, ...]]:
    """All features by subject, with these window lengths in days for windowed ones."""
    sections: Mapping[str, Iterator[Feature]] = {
        "Activity in windows": chain.from_iterable(map(windowed.windowed, windows)),
        "Trends": chain.from_iterable(map(windowed.trends, TREND_WINDOWS)),
        "Recency, tenure and rhythm": windowed.overall(),
        "Mix of events": chain.from_iterable(map(behaviour.mix, LONG_WINDOWS)),
        "Funnel": chain.from_iterable(map(behaviour.funnel, RECENT_WINDOWS)),
        "Sessions": chain.from_iterable(map(behaviour.sessions, RECENT_WINDOWS)),
        "Time of day and weekday": chain.from_iterable(map(behaviour.profile, LONG_WINDOWS)),
        "Basket, price, discounts, returns": chain(
            chain.from_iterable(map(purchasing.buying, LONG_WINDOWS)), map(purchasing.basket_trend, TREND_WINDOWS)
        ),
        "Variety and loyalty": chain.from_iterable(map(purchasing.variety, LONG_WINDOWS)),
        "Cadence and lifecycle": chain(purchasing.cadence(), (purchasing.lifecycle(),)),
        "Ratings": chain(
            chain.from_iterable(map(relations.ratings, LONG_WINDOWS)), map(relations.rating_trend, TREND_WINDOWS)
        ),
        "Messages and campaigns": chain.from_iterable(map(relations.messages, LONG_WINDOWS)),
        "Beside all other users": relations.standing(),
    }
    return {title: tuple(features) for title, features in sections.items()}


def declare_features(windows: Sequence[int] = WINDOWS) -> tuple[Feature, ...]:
    """All features in order, with these window lengths in days for windowed ones."""
    return tuple(chain.from_iterable(declare_sections(windows).values()))


FEATURES = declare_features()
"""The columns of `activity_features`, in order."""


def activity_features(events: pl.DataFrame, items: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Compute `FEATURES` for every user of a whole shop with an event before `as_of`: see `activity_slices`."""
    population = merge_population([population_slices(events, items, [as_of])])
    return activity_slices(events, items, [as_of], population=population)


def activity_slices(
    events: pa.Table | pl.DataFrame,
    items: pl.DataFrame,
    as_ofs: Sequence[datetime],
    features: Sequence[Feature] = FEATURES,
    population: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Compute features for every user of one bucket at several as-ofs, in one pass over the events.

    Uses only events that occurred and were recorded before the as-of; a window of n days is `[as_of - n days, as_of)`.

    Args:
        events: `tables.EVENTS` in any row order, or as `Snapshot.read_coded` gives them; of one bucket or of many.
        items: `tables.ITEMS`; an item that is not there has no category.
        as_ofs: midnights UTC.
        features: the ones wanted.
        population: of all buckets at these as-ofs, from `merge_population`; needed by features that compare users.

    Returns:
        `USER_ID`, `AS_OF`, then one Float64 column per feature; the as-ofs in the order given, within each the users
        with an event before it, by id.

    Raises:
        ValueError: an as-of is no midnight, or `population` is needed and not given.
    """
    names = {name for feature in features for name in feature.sums}
    ascending = sorted(set(as_ofs))
    ledger = Ledger.of(events, ascending, longest_window(names))
    sums = user_sums(Inputs(ledger, items, population), names)
    values = (feature.value.cast(pl.Float64).alias(feature.name) for feature in features)
    table = sums.select(pl.col(t.USER_ID).cast(pl.String), t.AS_OF, *values)
    if list(as_ofs) == ascending:
        return table
    by_as_of = table.partition_by(t.AS_OF, as_dict=True)
    return pl.concat([by_as_of.get((as_of,), table.clear()) for as_of in as_ofs])


def needed_columns(features: Sequence[Feature] = FEATURES) -> list[str]:
    """The columns of `tables.EVENTS` that `activity_slices` reads."""
    return event_columns({name for feature in features for name in feature.sums})


def needs_population(features: Sequence[Feature] = FEATURES) -> bool:
    """Whether any of these features compares users with all others."""
    return is_of_population({name for feature in features for name in feature.sums})
