"""Where files lie: on disk or in S3-compatible object storage, by the same patterns."""

import codecs
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.fs

from everstay.errors import SourceError
from everstay.sources.blocks import BLOCK_BYTES

EXPORT_AGAIN = "export or copy it again"
CORRECT_ENCODING = "save the file as UTF-8, or name its encoding in source.files.encoding"
UTF8 = "utf-8"
_S3 = "s3://"
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # Arrow reads the keys and the region by itself
_WILD = re.compile(r"[*?\[]")
_CODECS = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True)
class FoundFile:
    """A file that a pattern names.

    Attributes:
        name: path or URI.
        stamp: size and modification times. It differs when the content does, except in S3 for changes within a second,
            the resolution of its times.
    """

    name: str
    stamp: str


def find_files(pattern: str, key: str) -> list[FoundFile]:
    """Find the files that a path or glob names, sorted by name.

    Args:
        pattern: for example `exports/events-*.csv` or `s3://bucket/events/*/*.parquet`; `*` stays within a folder,
            `**` does not.
        key: where the pattern was set, for the message.

    Raises:
        SourceError: nothing matches, the pattern is none or a folder, or the place cannot be searched.
    """
    found = _objects(pattern, key) if is_remote(pattern) else _local_files(pattern, key)
    if not found:
        place = "" if is_remote(pattern) else f" (from {Path.cwd()})"
        raise SourceError(f"no file matches '{pattern}'{place}: correct {key} in the settings")
    return sorted(found, key=lambda file: file.name)


def is_remote(name: str) -> bool:
    """Whether a name or pattern is one of object storage."""
    return name.lower().startswith(_S3)


def format_of(name: str) -> str:
    """The suffix that says what a file holds, without the one of its compression.

    >>> format_of("events.CSV.gz"), format_of("s3://shop/events.parquet")
    ('.csv', '.parquet')
    """
    path = PurePosixPath(name.lower())
    return path.with_suffix("").suffix if path.suffix in _CODECS else path.suffix


def open_file(name: str) -> pa.NativeFile:
    """Open a file for random access, without decompression."""
    return _file_system().open_input_file(_object(name)) if is_remote(name) else pa.OSFile(name)


def open_stream(name: str, encoding: str = UTF8) -> pa.NativeFile:
    """Open a file for sequential reading as UTF-8, decompressed as its name says; a truncated one raises an `OSError`.

    Bytes that are not in another `encoding` raise a `UnicodeError`; those of UTF-8 are left to the reader.
    """
    codec = _CODECS.get(PurePosixPath(name.lower()).suffix)
    file = open_file(name)
    plain = file if codec is None else pa.CompressedInputStream(file, codec)
    known = codecs.lookup(encoding).name
    return plain if known == UTF8 else pa.transcoding_input_stream(plain, known, UTF8)


def is_empty(name: str) -> bool:
    """Whether there is not a single byte."""
    with open_file(name) as file:
        return bool(file.size() == 0)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn Arrow's errors about a file into messages for its owner."""
    try:
        yield
    except PermissionError:
        raise SourceError(f"{name} cannot be read: give the account that runs this read permission") from None
    except UnicodeError as error:
        raise SourceError(f"{name}: the text is not as source.files.encoding says ({error}): correct it") from None
    except (pa.ArrowException, OSError) as error:
        said = str(error).partition("\n")[0]
        row = re.search(r"Row #(\d+)", said)
        where = f"{name} row {int(row[1]) - 1}" if row else name  # Arrow counts the header
        if "AWS Error" in said:
            raise SourceError(f"{where} cannot be read: {_storage_advice(said)}") from None
        if "UTF8" in said or "\ufffd" in said:  # Arrow quotes a row of too many values, and had to replace bytes
            raise SourceError(f"{where}: the text is not UTF-8: {CORRECT_ENCODING}") from None
        if "straddling" in said:
            reason = f"a row longer than {BLOCK_BYTES >> 20} MiB, or a quotation mark that is never closed"
            raise SourceError(f"{where}: {reason}: correct the export") from None
        raise SourceError(f"{where} is cut off or damaged: {EXPORT_AGAIN} ({said})") from None


# ---- on disk -------------------------------------------------------------------------------------------------------
def _local_files(pattern: str, key: str) -> list[FoundFile]:
    path = Path(pattern)
    try:
        files = None if path.is_dir() else _matching(path)
    except (ValueError, OSError) as error:  # `**.csv`, a folder that may not be entered, a name that is too long
        raise SourceError(
            f"{key} '{pattern}' in the settings cannot be looked up ({error}): correct it, or give the account that "
            "runs this permission to enter the folder"
        ) from None
    if files is None:
        raise SourceError(f"{pattern} is a folder: set {key} in the settings to {pattern}/*.parquet or /*.csv")
    return files


def _matching(path: Path) -> list[FoundFile]:
    root = Path(path.anchor)
    found = [path] if path.is_file() else root.glob(str(path.relative_to(root)))
    return [FoundFile(str(file), _stamp(file.stat())) for file in found if file.is_file()]


def _stamp(told: os.stat_result) -> str:
    """Includes the inode's change time, which a copy that preserves the modification time does not preserve."""
    return f"{told.st_size} {told.st_mtime_ns} {told.st_ctime_ns}"


# ---- in object storage ---------------------------------------------------------------------------------------------
def _file_system() -> pa.fs.S3FileSystem:
    return _client(next((os.environ[name] for name in _ENDPOINT_VARIABLES if os.environ.get(name)), None))


@lru_cache
def _client(endpoint: str | None) -> pa.fs.S3FileSystem:
    """One client per process; only an endpoint that is not Amazon's has to be given."""
    return pa.fs.S3FileSystem(endpoint_override=endpoint)


def _object(name: str) -> str:
    return name[len(_S3) :]


def _objects(pattern: str, key: str) -> list[FoundFile]:
    """Objects that match; a pattern without `*` names one."""
    if "@" in _object(pattern).partition("/")[0]:
        raise SourceError(f"{key} in the settings holds a secret: set it in AWS_* variables and write s3://bucket/...")
    wanted = _object(pattern)
    fixed = _WILD.split(wanted, maxsplit=1)[0]
    try:
        if fixed == wanted:
            found = [_file_system().get_file_info(wanted)]
        else:
            folder = fixed.rpartition("/")[0]
            selector = pa.fs.FileSelector(folder, recursive=True)
            found = _file_system().get_file_info(selector)
    except FileNotFoundError:
        return []
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{key} '{pattern}' cannot be read: {_storage_advice(str(error))}") from None
    if any(info.path == wanted and info.type == pa.fs.FileType.Directory for info in found):
        raise SourceError(f"{pattern} is a folder: set {key} in the settings to {pattern}/*.parquet or /*.csv")
    matches = re.compile(_glob_expression(wanted)).fullmatch
    return [
        FoundFile(_S3 + info.path, f"{info.size} {info.mtime_ns}")
        for info in found
        if info.is_file and matches(info.path)
    ]


def _glob_expression(pattern: str) -> str:
    r"""A glob as a regular expression in which `*` stops at a slash.

    >>> bool(re.fullmatch(_glob_expression("a/*.csv"), "a/b/c.csv")), _glob_expression("a/**/*.csv")
    (False, 'a/(?:.*/)?[^/]*\\.csv')
    """
    parts = re.split(r"(\*\*/|\*|\?|\[[^\]]+\])", pattern)
    wild = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part) or (part if part.startswith("[") else re.escape(part)) for part in parts)


def _storage_advice(said: str) -> str:
    reason = re.search(r"AWS Error \S+[^:]*: ([^;(]*)", said)
    return (
        f"the object storage says '{(reason[1] if reason else said).strip()}'; check the bucket and the variables "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL"
    )
