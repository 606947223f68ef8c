"""Files in object storage, by a real S3 server on this machine: the same setting, the same events."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from botocore.client import BaseClient
from botocore.session import get_session
from moto.server import ThreadedMotoServer

from everstay import tables as t
from everstay.partitions import map_parts, open_cluster
from everstay.settings import Dask, FilesSource, Source
from everstay.sources import open_source
from everstay.sources.contract import Chunk
from tests.sources.reading import HEADER, ROWS, files_settings, read_files, refusal_of

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server that forgets."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> BaseClient:
    """A client of it, with a bucket `shop`; the environment names it as a shop's would."""
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    client = get_session().create_client("s3")
    client.create_bucket(Bucket="shop")
    for stored in client.list_objects_v2(Bucket="shop").get("Contents", []):
        client.delete_object(Bucket="shop", Key=stored["Key"])
    return client


def put(client: BaseClient, key: str, content: bytes) -> None:
    client.put_object(Bucket="shop", Key=key, Body=content)


@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz", "events.parquet"])
def test_the_events_of_a_bucket_are_those_of_the_disk(s3: BaseClient, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    plain = HEADER + ROWS
    if name.endswith(".parquet"):
        pl.read_csv(plain.encode(), infer_schema=False).write_parquet(path)
    else:
        path.write_bytes(gzip.compress(plain.encode()) if name.endswith(".gz") else plain.encode())
    put(s3, f"exports/{name}", path.read_bytes())
    remote = read_files(files_settings(f"s3://shop/exports/{name}"))
    assert remote.drop(t.SOURCE_FILE).equals(read_files(files_settings(path)).drop(t.SOURCE_FILE))
    assert remote[t.SOURCE_FILE].unique().to_list() == [f"s3://shop/exports/{name}"]


def test_a_glob_stops_at_a_folder_and_two_stars_do_not(s3: BaseClient) -> None:
    for key in ("b.csv", "a.csv", "old/c.csv", "old/er/d.csv", "a.txt"):
        put(s3, f"in/{key}", (HEADER + ROWS).encode())
    found = [
        [Path(chunk.origin).stem for chunk in open_source(_source(pattern)).event_chunks()]
        for pattern in ("s3://shop/in/*.csv", "s3://shop/in/**/*.csv", "s3://shop/in/*/?.csv", "s3://shop/in/[b-z].csv")
    ]
    assert found == [["a", "b"], ["a", "b", "c", "d"], ["c"], ["b"]]


def test_an_object_that_was_stored_before_is_not_read_until_it_changes(s3: BaseClient) -> None:
    for key in ("a.csv", "b.csv"):
        put(s3, f"known/{key}", (HEADER + ROWS).encode())
    known = frozenset(open_source(_source("s3://shop/known/*.csv")).deliveries())
    put(s3, "known/a.csv", (HEADER + ROWS + ROWS).encode())
    chunks = open_source(_source("s3://shop/known/*.csv"), delivered=known).event_chunks()
    assert [chunk.origin for chunk in chunks] == ["s3://shop/known/a.csv"]


def test_workers_read_a_bucket(s3: BaseClient) -> None:
    for number in range(3):
        row = f"{number},user-{number},A,view,2024-05-01,,,\n"
        put(s3, f"work/events-{number}.csv", (HEADER + row).encode())
    chunks = open_source(_source("s3://shop/work/*.csv")).event_chunks()
    with open_cluster(Dask(workers=2)) as scheduler:
        assert map_parts(_users, chunks, scheduler) == [["user-0"], ["user-1"], ["user-2"]]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("s3://shop/absent/*.csv", "no file matches 's3://shop/absent/*.csv': correct source.files.events"),
        ("s3://shop/absent.csv", "no file matches 's3://shop/absent.csv'"),
        ("s3://other/x/*.csv", "the object storage says 'The specified bucket does not exist'; check the bucket and"),
        ("s3://shop/cut", "s3://shop/cut is a folder: set source.files.events in the settings to s3://shop/cut/*.p"),
        ("s3://key:secret@shop/cut/*", "holds a secret: set it in AWS_* variables and write s3://bucket/..."),
        ("s3://shop/cut/events.csv.gz", "s3://shop/cut/events.csv.gz is cut off or damaged: export or copy it again"),
        ("s3://shop/cut/empty.csv", "s3://shop/cut/empty.csv is empty"),
    ],
)
def test_what_cannot_be_read_is_told(s3: BaseClient, pattern: str, words: str) -> None:
    put(s3, "cut/events.csv.gz", gzip.compress((HEADER + ROWS).encode())[:-4])
    put(s3, "cut/empty.csv", b"")
    message = refusal_of(files_settings(pattern))
    assert words in message
    assert "secret@" not in message


def test_a_storage_that_does_not_answer(s3: BaseClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    message = refusal_of(files_settings("s3://shop/in/*.csv"))
    assert "the object storage says" in message
    assert "AWS_ENDPOINT_URL" in message


def _source(pattern: str) -> Source:
    settings: FilesSource = files_settings(pattern)
    return Source(kind="files", files=settings)


def _users(chunk: Chunk) -> list[str]:
    return [user for frame in chunk.read() for user in frame[t.USER_ID]]
