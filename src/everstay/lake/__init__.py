"""The event lake on Delta Lake: stage, refuse, append once, read as of."""

from everstay.lake.buckets import assign_bucket
from everstay.lake.compaction import compact_events, vacuum
from everstay.lake.deliveries import known_deliveries, note_deliveries, read_otherwise
from everstay.lake.entities import ENTITY_TABLES, StagedEntities, commit_entities, content_key, stage_entities
from everstay.lake.ingest import IngestResult, Staged, commit_staged, discard_staged, stage_events
from everstay.lake.snapshot import Snapshot
from everstay.lake.store import Lake

__all__ = [
    "ENTITY_TABLES",
    "IngestResult",
    "Lake",
    "Snapshot",
    "Staged",
    "StagedEntities",
    "assign_bucket",
    "commit_entities",
    "commit_staged",
    "compact_events",
    "content_key",
    "discard_staged",
    "known_deliveries",
    "note_deliveries",
    "read_otherwise",
    "stage_entities",
    "stage_events",
    "vacuum",
]
