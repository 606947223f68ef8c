"""The moment at which users are scored."""

from datetime import UTC, datetime, time, timedelta

from everstay import tables as t
from everstay.errors import NotReady
from everstay.features import midnight_before
from everstay.lake import Lake, Snapshot
from everstay.settings import Settings

_QUIET_NIGHT = timedelta(days=1)  # a day's last event is seldom recorded right at midnight


def scoring_as_of(snapshot: Snapshot, settings: Settings) -> datetime:
    """The as-of of the settings, or the last midnight that the data covers.

    Raises:
        NotReady: the data does not reach the as-of of the settings, which would make everybody look silent.
    """
    last = midnight_before(snapshot.recorded_until)
    if settings.score_as_of is None:
        return last
    as_of = datetime.combine(settings.score_as_of, time(), UTC)
    if not snapshot.first_event_at < as_of <= last + _QUIET_NIGHT:
        raise NotReady(
            f"score_as_of is {as_of:%Y-%m-%d}, but the data reaches from {snapshot.first_event_at:%Y-%m-%d} to "
            f"{snapshot.recorded_until:%Y-%m-%d}: correct it in the settings, or remove it to use {last:%Y-%m-%d}"
        )
    return as_of


def is_history(lake: Lake, table: t.Table, as_of: datetime) -> bool:
    """Whether a table has a publication of this as-of and a later one: past publications are not remade."""
    published = lake.as_ofs(table)
    return as_of in published and as_of < max(published)
