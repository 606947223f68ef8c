"""Parquet files: parts of whole row groups, batch by batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow.parquet

from everstay.sources.blocks import UNREAD, Block, Header, Part, frame_of
from everstay.sources.storage import is_remote, open_file


def read_header(name: str) -> Header:
    """The columns, and whether there are rows."""
    with _opened(name) as file:
        return Header(list(file.schema_arrow.names), file.metadata.num_rows > 0)


def split(name: str, chunk_rows: int) -> list[Part]:
    """Cut between row groups into parts of about `chunk_rows` rows."""
    with _opened(name) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    starts = np.cumsum([0, *sizes])
    part_of_group = starts[:-1] // chunk_rows
    bounds = [*np.flatnonzero(np.diff(part_of_group, prepend=-1)).tolist(), len(sizes)]
    return [Part(name, tuple(range(low, high)), int(starts[low])) for low, high in pairwise(bounds)]


def read(part: Part, columns: Sequence[str], chunk_rows: int) -> Iterator[Block]:
    """Yield the rows of a part, at most `chunk_rows` at once, with only the named columns."""
    first = part.first_row + 1
    with _opened(part.name) as file:
        for batch in file.iter_batches(chunk_rows, row_groups=list(part.row_groups), columns=list(columns)):
            raw = frame_of(batch).select(columns)
            rows = pl.int_range(first, first + raw.height, eager=True)
            yield Block(rows, raw, pl.DataFrame(schema=dict(UNREAD)))
            first += raw.height


@contextmanager
def _opened(name: str) -> Iterator[pyarrow.parquet.ParquetFile]:
    with open_file(name) as bytes_, pyarrow.parquet.ParquetFile(bytes_, pre_buffer=is_remote(name)) as file:
        yield file
