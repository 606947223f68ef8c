"""The settings' source is opened, and each kind keeps the contract."""

import polars as pl
import pytest

from everstay import tables as t
from everstay.settings import FilesSource, Source, StoreTwinSource
from everstay.sources import open_source
from everstay.sources.complete_journey import CompleteJourney
from everstay.sources.contract import STAGED
from everstay.sources.files import Files
from everstay.sources.store_twin import StoreTwin, write_parquet

SHOP = StoreTwinSource(users=30, items=20, days=60)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (Source(), CompleteJourney),
        (Source(kind="files", files=FilesSource(events="events.csv")), Files),
        (Source(kind="store_twin", store_twin=SHOP), StoreTwin),
    ],
)
def test_the_kind_decides(settings: Source, kind: type) -> None:
    assert isinstance(open_source(settings), kind)


def test_the_store_twin_is_the_same_from_its_files(tmp_path) -> None:
    write_parquet(tmp_path, SHOP)
    paths = FilesSource(
        events=f"{tmp_path}/events-*.parquet", items=f"{tmp_path}/items.parquet", users=f"{tmp_path}/users.parquet"
    )
    twin, files = (
        open_source(Source(kind="store_twin", store_twin=SHOP)),
        open_source(Source(kind="files", files=paths)),
    )
    assert files.items().equals(twin.items())
    assert files.users().equals(twin.users())
    staged = [pl.concat(frame for chunk in source.event_chunks() for frame in chunk.read()) for source in (twin, files)]
    assert staged[0].schema == staged[1].schema == pl.Schema(STAGED)
    assert staged[0].select(*t.EVENTS.columns).equals(staged[1].select(*t.EVENTS.columns))
