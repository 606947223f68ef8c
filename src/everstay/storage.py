"""Files in a folder of this machine or of an object store, by the same names: what the lake and its workers write.

Parquet is read and written by PyArrow: Polars' own readers and writers occasionally deadlock in a process with one
thread (pola-rs/polars#27969), such as a worker.

Object stores take their credentials and endpoint from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

_QUICKLY = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class StoredFile:
    """One file of a folder: its name below the folder, and when it was last written."""

    name: str
    modified_at: datetime


@dataclass(frozen=True)
class Folder:
    """A folder by path or URI (`data`, `/srv/lake`, `s3://bucket/lake`); small and picklable.

    >>> (Folder("s3://bucket/lake/") / "events").uri
    's3://bucket/lake/events'
    """

    uri: str

    def __truediv__(self, name: str) -> "Folder":
        return Folder(f"{self.uri.rstrip('/')}/{name}")

    @property
    def is_local(self) -> bool:
        """Whether it is a path of this machine."""
        return "://" not in self.uri

    def path(self, name: str) -> str:
        """A file's path or URI."""
        return f"{self.uri.rstrip('/')}/{name}"

    @contextmanager
    def writing(self, name: str) -> Iterator[pa.NativeFile]:
        """Open a file to write; parent folders are created."""
        path = self._place(name)
        if self.is_local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        with self._system.open_output_stream(path) as file:
            yield file

    @contextmanager
    def reading(self, name: str) -> Iterator[pa.NativeFile]:
        """Open a file to read any part of it; a local one is mapped, not copied."""
        path = self._place(name)
        with pa.memory_map(path) if self.is_local else self._system.open_input_file(path) as file:
            yield file

    def write_frame(self, name: str, frame: pl.DataFrame) -> None:
        """Write a frame that `read_frame` reads again soon: Arrow's format, compressed quickly rather than well."""
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        with self.writing(name) as file, pa.ipc.new_file(file, table.schema, options=_QUICKLY) as writer:
            writer.write_table(table)

    def read_frame(self, name: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read what `write_frame` wrote; all columns when None."""
        with self.reading(name) as file:
            if columns is None:  # at once: selected columns are a request each to an object store
                return pl.DataFrame(pl.from_arrow(pa.ipc.open_file(file).read_all()))
            schema = pa.ipc.open_file(file).schema
            options = pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in columns])
            return pl.DataFrame(pl.from_arrow(pa.ipc.open_file(file, options=options).read_all().select(columns)))

    def read_parquet(self, name: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read a frame; all columns when None."""
        wanted = list(columns) if columns is not None else None
        with self.reading(name) as file:
            return pl.DataFrame(pl.from_arrow(pq.ParquetFile(file).read(wanted, use_threads=False).combine_chunks()))

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return int(self._system.get_file_info(self._place(name)).size)

    def files(self) -> list[StoredFile]:
        """All files below the folder, by name; none when there is no such folder."""
        selector = pa.fs.FileSelector(self._place(""), recursive=True, allow_not_found=True)
        start = len(self._place("").rstrip("/")) + 1
        found = (info for info in self._system.get_file_info(selector) if info.is_file)
        return sorted((StoredFile(info.path[start:], info.mtime) for info in found), key=lambda file: file.name)

    def remove(self, name: str) -> None:
        """Delete a file, if it exists."""
        if self._system.get_file_info(self._place(name)).type != pa.fs.FileType.NotFound:
            self._system.delete_file(self._place(name))

    def clear(self) -> None:
        """Delete the folder and all in it, if it exists."""
        if self._system.get_file_info(self._place("")).type != pa.fs.FileType.NotFound:
            self._system.delete_dir(self._place(""))

    @cached_property
    def _system(self) -> pa.fs.FileSystem:
        return pa.fs.LocalFileSystem() if self.is_local else pa.fs.FileSystem.from_uri(self.uri)[0]

    def _place(self, name: str) -> str:
        root = self.uri.rstrip("/") if self.is_local else self.uri.split("://", 1)[1].rstrip("/")
        return f"{root}/{name}" if name else root
