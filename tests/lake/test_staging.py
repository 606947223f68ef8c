"""What tasks are told: as much for many chunks and buckets as for few, or a large first delivery drowns in messages."""

import pickle
from pathlib import Path

from everstay.lake import Lake, discard_staged, stage_events
from everstay.lake import ingest as ingestion
from everstay.partitions import IN_PROCESS
from tests.lake.test_ingest import FrameChunk, purchases


def told(monkeypatch, lake: Lake, chunks: int) -> tuple[list[int], int]:
    """Bytes of each task that resolves a bucket, and of what validation reads by."""
    parts = []

    def listen(function, work, scheduler):
        parts.append([len(pickle.dumps(one)) for one in work])
        return real(function, work, scheduler)

    real = ingestion.map_parts
    with monkeypatch.context() as patched:
        patched.setattr(ingestion, "map_parts", listen)
        frames = [FrameChunk(f"file-{number:04d}", purchases(100 * number, 100)) for number in range(chunks)]
        staged = stage_events(lake, frames, IN_PROCESS, max_quarantined_share=0.0)
    assert sum(len(staged.read(bucket)) for bucket in staged.buckets) == 100 * chunks
    reading = len(pickle.dumps(staged.read))
    discard_staged(staged)
    return parts[1], reading


def test_a_task_is_told_of_one_place_however_many_chunks_there_are(tmp_path: Path, monkeypatch):
    few, reads_few = told(monkeypatch, Lake(str(tmp_path / "lake"), 8), 2)
    many, reads_many = told(monkeypatch, Lake(str(tmp_path / "lake"), 8), 60)
    assert max(many) <= max(few) + 8  # numbers of a few more digits
    assert reads_many == reads_few
    more, reads_more = told(monkeypatch, Lake(str(tmp_path / "more"), 16), 2)
    assert len(more) > len(few)
    assert reads_more == reads_few
