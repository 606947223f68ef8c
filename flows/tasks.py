"""Every task: one line around a library function. Between tasks go paths, versions and small frozen objects."""

from prefect import task

from everstay import lake
from everstay.features import buckets
from everstay.lake import Lake
from everstay.validation import validate

_RETRY = {"retries": 2, "retry_delay_seconds": 5}  # for what a network or an object store can break; all are idempotent

stage_entities = task(lake.stage_entities, name="stage-entities", **_RETRY)
stage_events = task(lake.stage_events, name="stage-events")
validate_table = task(validate, name="validate", task_run_name="validate-{table.name}")
commit_entities = task(lake.commit_entities, name="commit-entities", **_RETRY)
commit_events = task(lake.commit_staged, name="commit-events")
compute_features = task(buckets.compute_features, name="compute-features", **_RETRY)
compute_labels = task(buckets.compute_labels, name="compute-labels", **_RETRY)
replace_table = task(Lake.replace_parts, name="replace-table", task_run_name="replace-{table.name}", **_RETRY)
