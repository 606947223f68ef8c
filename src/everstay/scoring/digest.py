"""A digest of a table's content."""

import hashlib
import io

import polars as pl

from everstay import tables as t


def digest(table: pl.DataFrame) -> str:
    """SHA-256 of a table's columns and rows, sorted by its keys; data versions are left out, as lakes differ."""
    keys = [name for name in (t.USER_ID, t.ITEM_ID, t.RANK) if name in table.columns]
    buffer = io.BytesIO()
    plain = pl.CompatLevel.oldest()
    table.drop(t.DATA_VERSION, strict=False).sort(keys).rechunk().write_ipc(buffer, compat_level=plain)
    return hashlib.sha256(buffer.getbuffer()).hexdigest()
