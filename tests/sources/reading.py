"""What tests of a shop's own files share: the same three events, and reading them as Dask would."""

import pickle
from typing import Any

import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import SourceError
from everstay.event_ids import with_ids
from everstay.settings import FilesSource, Source
from everstay.sources import open_source
from everstay.sources.contract import STAGED

HEADER = "id,customer,sku,what,when,pieces,total,note\n"
ROWS = (
    "1,ann,A,buy,2024-05-01 12:00:00,2,19.90,fine\n"
    '2,bob,B,view,2024-05-01 12:05:00,,,"two\nlines, one ""value"""\n'
    "3,ann,B,buy,2024-05-02 08:00:00,1,5,\n"
)
COLUMNS = {
    t.EVENT_ID: "id", t.USER_ID: "customer", t.ITEM_ID: "sku", t.EVENT_TYPE: "what", t.OCCURRED_AT: "when",
    t.QUANTITY: "pieces", t.AMOUNT: "total", t.TEXT: "note",
}  # fmt: skip


def files_settings(file: object, **others: Any) -> FilesSource:
    """Settings of files like `HEADER`; `others` replace them."""
    return FilesSource(**{"events": str(file), "columns": COLUMNS, "event_types": {"buy": t.PURCHASE}, **others})


def read_files(settings: FilesSource) -> pl.DataFrame:
    """All staged events, with the ids that they would be stored under."""
    chunks = open_source(Source(kind="files", files=settings)).event_chunks()
    read = [frame for chunk in pickle.loads(pickle.dumps(chunks)) for frame in chunk.read()]  # noqa: S301  as Dask
    assert all(frame.columns == [one for one in STAGED if one in {*frame.columns}] for frame in read)
    frames = [with_ids(frame).select(list(STAGED)) for frame in read]
    assert all(frame.schema == pl.Schema(STAGED) for frame in frames)
    return pl.concat(frames)


def refusal_of(settings: FilesSource) -> str:
    """What a person is told."""
    with pytest.raises(SourceError) as caught:
        read_files(settings)
    return str(caught.value)
