"""The event lake on Delta Lake: stage, refuse, append once, read as of."""

from everstay.lake.buckets import assign_bucket
from everstay.lake.ingest import IngestResult, Staged, commit_staged, discard_staged, stage_events
from everstay.lake.store import Lake, Snapshot

__all__ = [
    "IngestResult",
    "Lake",
    "Snapshot",
    "Staged",
    "assign_bucket",
    "commit_staged",
    "discard_staged",
    "stage_events",
]
