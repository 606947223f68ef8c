"""How fast do raw events become features? Everstay's lake beside Polars, DuckDB and Dask DataFrame on the same log.

The log has as many events as asked for, a year long, one user for every 50 events; 31 features at one as-of. All must
give the same table. `--scaling` adds one worker, half the events, 22 weekly as-ofs and a nightly increment.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.event_log import AS_OF, COLUMNS, DAYS, write_event_log
from benchmarks.peers import peer_command
from benchmarks.process_tree import Watched, watch
from benchmarks.result import Row, count, measured, parse_arguments, show
from benchmarks.windowed import same_table

SLICES = 22
_DASK_EVENTS = 5_000_000  # the plain group-bys run out of this machine's memory with ten times as many
_BUCKET_EVENTS = 800_000


@dataclass(frozen=True)
class Bench:
    """A log of `events` events in a folder, and everything made from it there."""

    folder: Path
    events: int

    @property
    def raw(self) -> str:
        """Glob of the raw files."""
        return str(self.folder / "raw" / "*.parquet")

    @property
    def buckets(self) -> int:
        """Of the lake: about 800,000 events each, and enough for two workers to share evenly."""
        return max(16, -(-self.events // _BUCKET_EVENTS))

    def generate(self) -> "Bench":
        """Write the raw files."""
        write_event_log(self.folder / "raw", self.events)
        return self

    def ingest(self, raw: str | None = None, lake: str = "lake") -> Watched:
        """Everstay: raw files to the lake."""
        return self._everstay("ingest", str(self.folder / lake), "--raw", raw or self.raw)

    def features(self, *, days: int = 0, slices: int = 1, workers: int = 2, lake: str = "lake") -> Watched:
        """Everstay: the lake to features, `days` after the log's end."""
        as_of, output = (AS_OF + timedelta(days=days)).isoformat(), str(self.folder / "features")
        options = ("--as-of", as_of, "--slices", str(slices), "--workers", str(workers), "--output", output)
        return self._everstay("features", str(self.folder / lake), *options)

    def peer(self, script: str) -> Watched:
        """A peer's query over the raw files."""
        return watch(peer_command(script, self.raw, AS_OF.isoformat(), str(self.output(script))))

    def output(self, script: str) -> Path:
        """Where a peer writes."""
        return self.folder / f"{script}.parquet"

    def is_same(self, script: str) -> bool:
        """Whether Everstay's last features equal a peer's."""
        return same_table(sorted((self.folder / "features").glob("*.arrow")), self.output(script), AS_OF)

    def _everstay(self, *words: str) -> Watched:
        module = [sys.executable, "-m", "benchmarks.everstay_windowed"]
        return watch([*module, *words, "--buckets", str(self.buckets)])


def main() -> None:
    """Run everything on one log and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=count, default=10_000_000)
    parser.add_argument("--scaling", action="store_true", help="also: one worker, half the events, 22 as-ofs, a night")
    arguments = parse_arguments(__doc__ or "", parser)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), arguments.events).generate()
        rows = list(_comparison(bench))
        if arguments.scaling:
            rows += list(_scaling(bench))
            rows += list(_night(bench))
    show(f"{arguments.events:,} events to 31 features", rows, arguments.json)


def _comparison(bench: Bench) -> Iterator[Row]:
    floor = watch(peer_command("decode_raw.py", bench.raw, *COLUMNS))
    ingest, features = bench.ingest(), bench.features()
    yield from _describe("bare decode of the raw columns", floor, bench.events)
    yield from _describe("Everstay: ingest", ingest, bench.events)
    yield measured("Everstay: ingest", "of it validation", ingest.told["validation_seconds"], "s")
    yield from _describe("Everstay: features from the lake", features, bench.events)
    ours = features.told["seconds"]
    yield measured("Everstay: features from the lake", "× decode", ours / floor.told["seconds"], "")
    for peer, script in (("Polars, streaming", "windowed_polars.py"), ("DuckDB", "windowed_duckdb.py")):
        watched = bench.peer(script)
        yield from _compared(peer, watched, bench, bench.is_same(script), ours, ours + ingest.told["seconds"])
    small = Bench(bench.folder / "small", min(bench.events, _DASK_EVENTS)).generate()
    small_ingest, small_features = small.ingest(), small.features()
    watched = small.peer("windowed_dask.py")
    seconds = small_features.told["seconds"]
    is_same = small.is_same("windowed_dask.py")
    total = seconds + small_ingest.told["seconds"]
    yield from _compared(f"Dask DataFrame ({small.events:,} events)", watched, small, is_same, seconds, total)


def _compared(case: str, peer: Watched, bench: Bench, is_same: bool, features: float, total: float) -> Iterator[Row]:
    yield from _describe(case, peer, bench.events)
    yield measured(case, "same table", float(is_same), "")
    yield measured(case, "ratio to Everstay's features", peer.told["seconds"] / features, "")
    yield measured(case, "ratio to ingest + features", peer.told["seconds"] / total, "")


def _describe(case: str, watched: Watched, events: int) -> Iterator[Row]:
    seconds = watched.told["seconds"]
    yield measured(case, "seconds", seconds, "s")
    yield measured(case, "million events/s", events / seconds / 1e6, "")
    yield measured(case, "peak memory", watched.peak_bytes / 2**30, "GiB")


def _scaling(bench: Bench) -> Iterator[Row]:
    two = bench.features()
    one = bench.features(workers=1)
    yield from _describe("Everstay: features, one worker", one, bench.events)
    yield measured("Everstay: features, one worker", "× two workers", one.told["seconds"] / two.told["seconds"], "")
    many = bench.features(slices=SLICES)
    yield from _describe(f"Everstay: features, {SLICES} as-ofs", many, bench.events)
    yield measured(
        f"Everstay: features, {SLICES} as-ofs", "× one as-of", many.told["seconds"] / two.told["seconds"], ""
    )
    half = Bench(bench.folder / "half", bench.events // 2).generate()
    for case, whole, part in (("ingest", None, half.ingest()), ("features", two, half.features())):
        yield from _describe(f"Everstay: {case}, half the events", part, half.events)
        if whole is not None:
            ratio = whole.told["seconds"] / part.told["seconds"]
            yield measured(f"Everstay: {case}, half the events", "whole × half", ratio, "")


def _night(bench: Bench) -> Iterator[Row]:
    """One more day: appended and built, beside a lake rebuilt from scratch."""
    night = bench.folder / "night"
    write_event_log(night, bench.events // DAYS, first_day=AS_OF, days=1, seed=6)
    append, features = bench.ingest(str(night / "*.parquet")), bench.features(days=1)
    increment = append.told["seconds"] + features.told["seconds"]
    before = [file.read_bytes() for file in sorted((bench.folder / "features").glob("*.arrow"))]
    for file in night.glob("*.parquet"):
        file.rename(bench.folder / "raw" / f"night-{file.name}")
    anew = bench.ingest(lake="anew")
    rebuilt = bench.features(days=1, lake="anew")
    after = [file.read_bytes() for file in sorted((bench.folder / "features").glob("*.arrow"))]
    rebuild = anew.told["seconds"] + rebuilt.told["seconds"]
    case = "Everstay: a night's increment"
    yield measured(case, "seconds", increment, "s")
    yield measured(case, "share of a rebuild", increment / rebuild, "")
    yield measured(case, "same bits as a rebuild", float(before == after), "")
    yield measured(case, "append", append.told["seconds"], "s")
    yield measured(case, "features", features.told["seconds"], "s")


if __name__ == "__main__":
    main()
