"""Everstay's side of the feature benchmark, one step per call: ingest a raw log, or build features from the lake."""

import argparse
import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from benchmarks.windowed import benchmark_features
from everstay import tables as t
from everstay.features import activity_slices
from everstay.features.buckets import bucket_features, compute_features
from everstay.lake import Lake, commit_staged, stage_events
from everstay.partitions import map_parts, open_cluster
from everstay.settings import Dask, FilesSource, Source
from everstay.sources import open_source
from everstay.storage import Folder
from everstay.validation import validate


def main() -> None:
    """Do one step and print its seconds as JSON; the start of the workers and their imports are not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("ingest", "features"))
    parser.add_argument("lake")
    parser.add_argument("--buckets", type=int, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--raw", help="ingest: glob of the raw files")
    parser.add_argument("--as-of", type=datetime.fromisoformat, help="features: the newest as-of")
    parser.add_argument("--slices", type=int, default=1, help="features: weekly as-ofs")
    parser.add_argument("--output", type=Folder, help="features: folder of the part files")
    arguments = parser.parse_args()
    lake = Lake(arguments.lake, arguments.buckets)
    with open_cluster(Dask(workers=arguments.workers)) as scheduler:
        as_of = None if arguments.step == "ingest" else arguments.as_of.astimezone(UTC)
        map_parts(partial(_warm_up, lake=lake, as_of=as_of), range(4 * arguments.workers), scheduler)
        told = (
            _ingest(lake, arguments.raw, scheduler)
            if arguments.step == "ingest"
            else _features(lake, arguments, scheduler)
        )
    print(json.dumps(told))


def _warm_up(part: int, *, lake: Lake, as_of: datetime | None) -> None:
    """Have a worker import what it needs and load compiled kernels, as a nightly run's long-lived worker has.

    It computes one bucket for that, which also reads the log of the lake's version.
    """
    import great_expectations  # noqa: F401

    features = benchmark_features()
    activity_slices(t.EVENTS.empty(), t.ITEMS.empty(), [datetime(2020, 1, 1, tzinfo=UTC)], features)
    if as_of is not None:
        bucket_features(part % lake.bucket_count, reader=lake.snapshot(), as_ofs=[as_of], features=features)


def _ingest(lake: Lake, raw: str, scheduler: str) -> dict[str, float]:
    source = Source(kind="files", files=FilesSource(events=raw))
    began = time.perf_counter()
    chunks = open_source(source).event_chunks()
    staged = stage_events(lake, chunks, scheduler, max_quarantined_share=source.max_quarantined_share)
    at_validation = time.perf_counter()
    report = validate(t.EVENTS, staged.read, staged.buckets, scheduler)
    report.raise_for_failures(None)
    at_commit = time.perf_counter()
    result = commit_staged(staged)
    ended = time.perf_counter()
    return {
        "seconds": ended - began,
        "validation_seconds": at_commit - at_validation,
        "rows_added": result.rows_added,
    }


def _features(lake: Lake, arguments: argparse.Namespace, scheduler: str) -> dict[str, float]:
    newest = arguments.as_of.astimezone(UTC)
    as_ofs = [newest - timedelta(weeks=week) for week in reversed(range(arguments.slices))]
    began = time.perf_counter()
    compute_features(lake.snapshot(), as_ofs, arguments.output, scheduler, benchmark_features())
    return {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    main()
