"""Publications as the flow makes them: from the parts that workers wrote."""

from datetime import datetime

import polars as pl

from everstay import tables as t
from everstay.lake import Lake
from everstay.partitions import IN_PROCESS, compute_parts
from everstay.storage import Folder


def publish(lake: Lake, table: t.Table, frame: pl.DataFrame, *, as_of: datetime, key: str) -> bool:
    """Publish a frame as the only part."""
    parts = compute_parts(lambda _: frame, [0], Folder(f"{lake.uri}/_work/published"), IN_PROCESS)
    return lake.publish_parts(table, parts, as_of=as_of, key=key)
