"""The definition of leaving in a publication: the one its model learned, whatever the settings are now."""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from everstay import tables as t
from everstay.features.slices import label_delay
from everstay.settings import Churn

_COLUMNS = (t.GAP_DAYS, t.HORIZON_DAYS)
_EVER = 36_500  # days of look-back: includes everybody published, whatever the look-back was then


def learned_definition(logged: Mapping[str, object], churn: Churn) -> Churn:
    """The definition of leaving that a model learned.

    Args:
        logged: section `[churn]` of the settings that its run was logged with; may be empty.
        churn: the present one, for everything else.
    """
    return churn.model_copy(update={name: logged[name] for name in _COLUMNS if name in logged})


def other_definition(logged: Mapping[str, object], churn: Churn) -> str:
    """The days of a learned definition that the settings now have otherwise, in words; empty when there are none.

    Args:
        logged: as for `learned_definition`.
        churn: the present one.

    >>> other_definition({"horizon_days": 28, "gap_days": 0}, Churn(horizon_days=60))
    'horizon_days = 28 (now 60)'
    """
    now = churn.model_dump(include={"look_back_days", "gap_days", "horizon_days"})
    return ", ".join(
        f"{name} = {logged[name]} (now {now[name]})" for name in now if logged.get(name, now[name]) != now[name]
    )


def with_definitions(scores: pl.DataFrame, learned: Mapping[str, Churn]) -> pl.DataFrame:
    """Fill gap and horizon of publications that an older release made without them, by their model versions."""
    filled = scores
    for name in _COLUMNS:
        by_version = {version: getattr(churn, name) for version, churn in learned.items()}
        told = pl.col(t.MODEL_VERSION).replace_strict(by_version, default=None, return_dtype=pl.Int32)
        filled = filled.with_columns(pl.col(name).fill_null(told))
    return filled


def published_definition(rows: pl.DataFrame, churn: Churn) -> Churn:
    """The definition that the rows of one publication were made with; what they do not state is as in `churn`."""
    told = rows.select(pl.col(_COLUMNS).drop_nulls().first()).row(0, named=True)
    return churn.model_copy(update={name: days for name, days in told.items() if days is not None})


def mature_as_ofs(scores: pl.DataFrame, churn: Churn, known_until: datetime) -> list[tuple[Churn, list[datetime]]]:
    """The as-ofs whose labels are known by now, oldest first, grouped by the definition they were published with.

    The definitions have an unlimited look-back, so that they label everybody who was published.
    """
    by_definition: dict[tuple[int, int], tuple[Churn, list[datetime]]] = {}
    for (as_of,), rows in scores.sort(t.AS_OF).group_by(t.AS_OF, maintain_order=True):
        meant = published_definition(rows, churn).model_copy(update={"look_back_days": _EVER})
        if as_of + label_delay(meant) <= known_until:
            by_definition.setdefault((meant.gap_days, meant.horizon_days), (meant, []))[1].append(as_of)
    return list(by_definition.values())
