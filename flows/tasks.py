"""Every task: one line around a library function. Between tasks go paths, versions and small frozen objects.

Tasks that touch storage are retried, for an object store or a database may fail for a moment; all may run twice.
"""

from prefect import task

from everstay import lake, scoring
from everstay.features import buckets
from everstay.lake import Lake
from everstay.registry import rollout, versions
from everstay.validation import validate

stage_entities = task(name="stage-entities", retries=2)(lake.stage_entities)
stage_events = task(name="stage-events")(lake.stage_events)
commit_entities = task(name="commit-entities", retries=2)(lake.commit_entities)
commit_events = task(name="commit-events")(lake.commit_staged)
validate_table = task(name="validate", task_run_name="validate-{table.name}")(validate)
compute_features = task(name="compute-features", retries=2)(buckets.compute_features)
compute_labels = task(name="compute-labels", retries=2)(buckets.compute_labels)
compute_tokens = task(name="compute-tokens", retries=2)(buckets.compute_tokens)
compute_baskets = task(name="compute-baskets", retries=2)(buckets.compute_baskets)
replace_table = task(name="replace-table", task_run_name="replace-{table.name}", retries=2)(Lake.replace_parts)
publish_table = task(name="publish-table", task_run_name="publish-{table.name}", retries=2)(Lake.publish_parts)
compute_churn_scores = task(name="score-churn", retries=2)(scoring.compute_churn_scores)
compute_recommendations = task(name="recommend", retries=2)(scoring.compute_recommendations)
download_artifact = task(name="download-artifact", retries=2)(versions.download)
register_challenger = task(name="register-challenger", retries=2)(versions.register_challenger)
apply_decision = task(name="apply-decision", retries=2)(rollout.apply_decision)
