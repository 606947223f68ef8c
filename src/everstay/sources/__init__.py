"""A shop's data in canonical tables: the Complete Journey, the shop's own files, or the store twin."""

from everstay import settings
from everstay.sources.complete_journey import CompleteJourney
from everstay.sources.contract import Chunk, Source
from everstay.sources.files import Files

__all__ = ["Chunk", "Source", "open_source"]


def open_source(settings: settings.Source) -> Source:
    """Open the source that the settings name.

    Raises:
        SourceError: the source's settings cannot be used.
    """
    if settings.kind == "files":
        return Files(settings.files)
    if settings.kind == "store_twin":
        from everstay.sources.store_twin import StoreTwin  # a simulator nobody else should pay for at import

        return StoreTwin(settings.store_twin)
    return CompleteJourney()
