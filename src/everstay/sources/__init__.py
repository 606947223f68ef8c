"""A shop's data in canonical tables: the Complete Journey, the shop's own files or database, or the store twin."""

from collections.abc import Collection
from datetime import datetime

from everstay import settings
from everstay.sources.complete_journey import CompleteJourney
from everstay.sources.contract import Chunk, Source
from everstay.sources.files import Files

__all__ = ["Chunk", "Source", "open_source"]


def open_source(
    settings: settings.Source, newest_recorded_at: datetime | None = None, delivered: Collection[str] = ()
) -> Source:
    """Open the source that the settings name.

    Args:
        settings: which, and how to read it.
        newest_recorded_at: when the newest stored event was recorded, never rounded up, so that a source that can reads
            newer ones only; None when nothing is stored, or everything is wanted.
        delivered: names of what was read and stored before (`Source.deliveries`), so that a source that can skips it.

    Raises:
        SourceError: the source's settings cannot be used.
    """
    if settings.kind == "files":
        return Files(settings.files, delivered)
    if settings.kind == "database":
        from everstay.sources.database import DatabaseTables  # drivers nobody else should pay for at import

        return DatabaseTables(settings.database, newest_recorded_at)
    if settings.kind == "store_twin":
        from everstay.sources.store_twin import StoreTwin  # a simulator nobody else should pay for at import

        return StoreTwin(settings.store_twin)
    return CompleteJourney()
