"""Champions -> published, validated tables: who is about to leave, and what each user wants next."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from prefect import flow, get_run_logger

from everstay import tables as t
from everstay.errors import NotReady
from everstay.lake import Snapshot
from everstay.registry import rollout
from everstay.registry.refs import ModelName, ModelRef
from everstay.registry.store import Registry
from everstay.registry.tracking import logged_settings
from everstay.registry.versions import usable_champion
from everstay.scoring import Work, is_history, keep_previous, previous_as_of, scoring_as_of
from everstay.scoring.leaving import learned_definition, other_definition
from everstay.settings import Churn, Settings, load_settings
from flows import runtime, tasks
from flows.ingest_events import ingest_events
from flows.prove_as_of import prove_as_of
from flows.summary import print_published

TABLE_OF: Mapping[ModelName, t.Table] = {"churn": t.CHURN_SCORES, "recommender": t.RECOMMENDATIONS}
"""What each model publishes."""


@dataclass(frozen=True)
class Publication:
    """What was published.

    Attributes:
        as_of: of the tables.
        published: tables that this run published; others were published before, or have no champion.
        lacking: why, for each model without a champion that can be loaded.
    """

    as_of: datetime
    published: tuple[str, ...]
    lacking: tuple[str, ...]


class PartlyPublished(NotReady):
    """One or both models have no champion; the tables of existing champions are published."""

    def __init__(self, publication: Publication) -> None:
        super().__init__("; ".join(publication.lacking))
        self.publication = publication

    def __reduce__(self) -> tuple[type["PartlyPublished"], tuple[Publication]]:
        """Pickle: Prefect may carry it from one process to another."""
        return type(self), (self.publication,)


@flow(name="score-users")
def score_users(ingest_first: bool = False, scheduler: str | None = None) -> Publication:
    """Score every user with the champions and publish `churn_scores` and `recommendations`.

    Once per as-of, model version, data version and list rules: what is published already is left as it is, and so is an
    as-of with later publications.

    Args:
        ingest_first: read the source's new events before; what the daily schedule does.
        scheduler: Dask scheduler of a calling flow.

    Raises:
        PartlyPublished: a model has no champion; raised at the end, after the other one's table is published.
        NotReady: there is no data, or none that reaches `score_as_of`.
        LeakFound: a table computed on a sample changes with later data.
        DataRejected: a scored table breaks an expectation; what was published before stays.
    """
    settings = load_settings()
    with runtime.working_alone(settings), runtime.dask_scheduler(settings, scheduler) as address:
        if ingest_first:
            ingest_events(scheduler=address)
        publication = _score(settings, address)
    print_published(runtime.open_lake(settings), publication.as_of, settings.churn, settings.source.currency)
    if publication.lacking:
        raise PartlyPublished(publication)
    return publication


def _score(settings: Settings, scheduler: str) -> Publication:
    logger = get_run_logger()
    lake, registry = runtime.open_lake(settings), Registry(settings.mlflow)
    snapshot = lake.snapshot()
    as_of = scoring_as_of(snapshot, settings)
    champions = {model: ref for model in TABLE_OF if (ref := usable_champion(registry, model))}
    lacking = tuple(rollout.why_no_champion(registry, lake, model) for model in TABLE_OF if model not in champions)
    if churn := champions.get("churn"):
        logged = logged_settings(registry, churn.run_id).get("churn", {})
        if learned := learned_otherwise(logged, settings.churn):
            logger.warning("churn champion version %s %s", churn.version, learned)
        settings = settings.model_copy(update={"churn": learned_definition(logged, settings.churn)})
    before = previous_as_of(lake, as_of)
    keys = {model: _publication_key(model, ref, snapshot, settings) for model, ref in champions.items()}
    changed = [model for model in champions if not lake.has_published(TABLE_OF[model], as_of, keys[model])]
    due = [model for model in changed if not is_history(lake, TABLE_OF[model], as_of)]
    for stays in (TABLE_OF[model].name for model in changed if model not in due):
        logger.warning("%s as of %s stays as published, because later ones followed", stays, f"{as_of:%Y-%m-%d}")
    if due:
        prove_as_of()
    published, suites = [], Path(settings.expectations_folder)
    for model in due:
        table, ref = TABLE_OF[model], champions[model]
        logger.info("scoring %s as of %s with version %s", table.name, f"{as_of:%Y-%m-%d}", ref.version)
        work = Work(snapshot, tasks.download_artifact(registry, ref), ref.version, as_of)
        folder = runtime.parts_folder(settings, table.name)
        if model == "churn":
            previous = keep_previous(lake, before, runtime.parts_folder(settings, "previous_scores"))
            parts = tasks.compute_churn_scores(work, settings, folder, scheduler, previous)
        else:
            parts = tasks.compute_recommendations(work, settings.recommender, folder, scheduler)
        report = tasks.validate_table(table, parts.read, parts.numbers, scheduler, expectations=suites)
        runtime.show_validation([report], settings, f"score-{table.name}".replace("_", "-"))
        tasks.publish_table(lake, table, parts, as_of=as_of, key=keys[model])
        published.append(table.name)
    return Publication(as_of, tuple(published), lacking)


def _publication_key(model: ModelName, ref: ModelRef, snapshot: Snapshot, settings: Settings) -> str:
    """Key of what decides a published table; version numbers restart in a new store, model ids do not."""
    rules: object = settings.recommender.list_rules
    if model == "churn":
        tiers = (settings.churn.tiers_by, *settings.churn.tiers, settings.fairness.mitigate)
        rules = (settings.churn.look_back_days, *tiers, settings.value.model_dump_json())
    return f"{ref.version} {ref.model_id} {snapshot.data_version} {rules}"


def learned_otherwise(logged: Mapping[str, object], churn: Churn) -> str:
    """A warning if a champion learned another definition of leaving than the settings have now; else empty."""
    others = other_definition(logged, churn)
    return f"was trained with {others}, and its probabilities follow that: run `make train`" if others else ""


if __name__ == "__main__":
    runtime.run(score_users)
