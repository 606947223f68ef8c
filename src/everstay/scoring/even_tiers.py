"""Tiers with a threshold per group of a declared attribute: the same share of every group. Off by default."""

from collections.abc import Mapping

import polars as pl

from everstay import tables as t
from everstay.errors import SettingsError
from everstay.scoring.tiers import TierBounds, assign_tiers, tier_bounds
from everstay.settings import Settings, Value

EVERYBODY = "everybody"
_GROUP = "_group"


def group_bounds(
    scores: pl.DataFrame, users: pl.DataFrame, attribute: str | None, settings: Settings
) -> dict[str, TierBounds]:
    """Where the tiers of each group end; without an attribute all users are one group.

    Args:
        scores: of all users, as `tier_bounds` takes them.
        users: `tables.USERS`; users not in it form one group with those whose attribute is null.
        attribute: column of `users`, or None.
        settings: order of the list, shares, costs and budget; a budget is split by the groups' shares of the users.

    Raises:
        SettingsError: as `require_declared`.
    """
    require_declared(users, attribute)
    parts = _grouped(scores, users, attribute).partition_by(_GROUP, as_dict=True, include_key=False)
    return {
        str(group[0]): tier_bounds(part, settings.churn, _part_of(settings.value, part.height / scores.height))
        for group, part in parts.items()
    }


def require_declared(users: pl.DataFrame, attribute: str | None) -> None:
    """Check that some user declares the attribute, if one is set.

    Raises:
        SettingsError: no user declares the attribute.
    """
    if attribute is not None and users[attribute].null_count() == users.height:
        raise SettingsError(f"fairness.mitigate: no user declares {attribute}; map it, or delete the setting")


def assign_group_tiers(
    scores: pl.DataFrame, users: pl.DataFrame, attribute: str | None, bounds: Mapping[str, TierBounds]
) -> pl.DataFrame:
    """Add the column `RISK_TIER` to all users' rows or to one bucket's, in their order."""
    nobody = TierBounds(by_value=False, high=None, medium=None)
    parts = _grouped(scores, users, attribute).with_row_index("_row").partition_by(_GROUP, as_dict=True)
    tiered = [assign_tiers(part, bounds.get(str(group[0]), nobody)) for group, part in parts.items()]
    if not tiered:
        return assign_tiers(scores, nobody)
    return pl.concat(tiered).sort("_row").drop("_row", _GROUP)


def group_of(user_id: str, scores: pl.DataFrame, users: pl.DataFrame, attribute: str | None) -> pl.DataFrame:
    """The scores of the users in the group of one of them; all without an attribute."""
    grouped = _grouped(scores, users, attribute)
    own = grouped.filter(pl.col(t.USER_ID) == user_id).select(_GROUP)
    return grouped.join(own, on=_GROUP, how="semi", maintain_order="left").drop(_GROUP)


def _part_of(value: Value, share: float) -> Value:
    return value if value.budget is None else value.model_copy(update={"budget": value.budget * share})


def _grouped(scores: pl.DataFrame, users: pl.DataFrame, attribute: str | None) -> pl.DataFrame:
    if attribute is None:
        return scores.with_columns(pl.lit(EVERYBODY).alias(_GROUP))
    known = users.select(t.USER_ID, pl.col(attribute).cast(pl.String).alias(_GROUP))
    return scores.join(known, on=t.USER_ID, how="left", maintain_order="left").with_columns(
        pl.col(_GROUP).fill_null("unknown")
    )
