"""Every task, one line around a library function each; only a search's are in `flows.tune_model`.

Between tasks go paths, versions and small frozen objects. Tasks that touch storage are retried, as an object store or a
database may fail briefly; all can safely run twice.
"""

from prefect import task

from everstay import churn, lake, recommender, report, retention, scoring
from everstay.features import buckets
from everstay.lake import Lake
from everstay.lake import futures as lake_futures
from everstay.registry import reports, rollout, tracking, versions, views
from everstay.scoring import back_test, campaigns, proof
from everstay.validation import validate

stage_entities = task(name="stage-entities", retries=2)(lake.stage_entities)
stage_events = task(name="stage-events")(lake.stage_events)
commit_entities = task(name="commit-entities", retries=2)(lake.commit_entities)
note_deliveries = task(name="note-deliveries", retries=2)(lake.note_deliveries)
commit_events = task(name="commit-events")(lake.commit_staged)
compact_events = task(name="compact-events", retries=2)(lake.compact_events)
vacuum = task(name="vacuum", retries=2)(lake.vacuum)
validate_table = task(name="validate", task_run_name="validate-{table.name}")(validate)
compute_features = task(name="compute-features", retries=2)(buckets.compute_features)
compute_labels = task(name="compute-labels", retries=2)(buckets.compute_labels)
compute_tokens = task(name="compute-tokens", retries=2)(buckets.compute_tokens)
compute_baskets = task(name="compute-baskets", retries=2)(buckets.compute_baskets)
replace_table = task(name="replace-table", task_run_name="replace-{table.name}", retries=2)(Lake.replace_parts)
publish_table = task(name="publish-table", task_run_name="publish-{table.name}", retries=2)(Lake.publish_parts)
compute_churn_scores = task(name="score-churn", retries=2)(scoring.compute_churn_scores)
compute_recommendations = task(name="recommend", retries=2)(scoring.compute_recommendations)
find_campaign_users = task(name="find-campaign-users")(campaigns.find_campaign_users)
prepare_churn_rows = task(name="prepare-churn-rows")(churn.prepare_rows)
prepare_recommender_rows = task(name="prepare-recommender-rows")(recommender.prepare_rows)
check_recommender_rows = task(name="check-recommender-rows")(recommender.check_rows)
train_churn_candidate = task(name="train-churn", task_run_name="train-churn-{name}")(churn.train_candidate)
train_recommender_candidate = task(name="train-recommender", task_run_name="train-recommender-{name}")(
    recommender.train_candidate
)
judge_churn_candidate = task(name="judge-churn")(churn.evaluate_candidate)
judge_recommender_candidate = task(name="judge-recommender")(recommender.evaluate_candidate)
compare_churn = task(name="compare-churn")(churn.compare_models)
compare_recommender = task(name="compare-recommender")(recommender.compare_models)
count_judged_churn = task(name="count-judged-churn")(churn.count_judged)
count_judged_recommender = task(name="count-judged-recommender")(recommender.count_judged)
write_futures = task(name="write-futures")(lake_futures.write_futures)
judge_publications = task(name="judge-publications")(back_test.judge_publications)
prove_tables = task(name="prove-tables")(proof.prove_as_of)
find_run = task(name="find-run", retries=2)(tracking.find_run)
describe_experiment = task(name="describe-experiment", retries=2)(views.describe_experiment)
log_candidate = task(name="log-candidate")(tracking.log_candidate)
why_lost = task(name="check-artifact", retries=2)(versions.why_lost)
discard_run = task(name="discard-run", retries=2)(tracking.discard_run)
download_artifact = task(name="download-artifact", retries=2)(versions.download)
register_challenger = task(name="register-challenger", retries=2)(versions.register_challenger)
apply_decision = task(name="apply-decision", retries=2)(rollout.apply_decision)
measure_retention = task(name="measure-retention")(retention.measure_retention)
write_page = task(name="write-page")(report.write_page)
log_report = task(name="log-report", retries=2)(reports.log_report)
advise_definition = task(name="advise-definition")(retention.advise_definition)
