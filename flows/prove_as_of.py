"""Proof that nothing leaks: everything as of a moment is the same in all futures of a sample of the data."""

from prefect import flow, get_run_logger

from everstay.errors import LeakFound
from everstay.features import last_mature_as_of
from everstay.registry.store import Registry
from everstay.registry.versions import usable_champion
from everstay.scoring.proof import Proof
from everstay.settings import load_settings
from everstay.storage import Folder
from flows import runtime, tasks
from flows.summary import print_proof

_MOST_EVENTS = 50_000


@flow(name="prove-as-of")
def prove_as_of() -> Proof:
    """Compute every table of the pipeline in five futures of a sample of users, and compare them bit by bit.

    Raises:
        LeakFound: a table differs; names it and the future that changed it.
        NotReady: there are no events.
    """
    settings, logger = load_settings(), get_run_logger()
    snapshot, registry = runtime.open_lake(settings).snapshot(), Registry(settings.mlflow)
    as_of = last_mature_as_of(snapshot.recorded_until, settings.churn)
    versions = {model: usable_champion(registry, model) for model in ("churn", "recommender")}
    champions = {
        model: tasks.download_artifact(registry, version) for model, version in versions.items() if version is not None
    }
    logger.info("as of %s, in the futures of a sample of about %s events", f"{as_of:%Y-%m-%d}", f"{_MOST_EVENTS:,}")
    work, seed = runtime.work_folder(settings, "proof"), settings.training.seed
    with runtime.working_alone(settings):
        futures = tasks.write_futures(snapshot, as_of, str(work), most_events=_MOST_EVENTS, seed=seed)
        proof = tasks.prove_tables(futures, champions, as_of, settings, work)
        Folder(str(work)).clear()
    print_proof(proof)
    if proof.leaks:
        raise LeakFound(f"as of {as_of:%Y-%m-%d} the future changes {', '.join(proof.leaks)}; nothing may be published")
    return proof


if __name__ == "__main__":
    runtime.run(prove_as_of)
