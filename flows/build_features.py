"""Lake -> validated features and labels of every as-of that training, validation and test need."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import partial
from pathlib import Path

from prefect import flow, get_run_logger

from everstay import tables as t
from everstay.code_version import code_version
from everstay.errors import NotReady
from everstay.features import TimeSplit, last_judged_as_of, last_mature_as_of, sample_share, time_split
from everstay.lake import Snapshot
from everstay.settings import Settings, load_settings
from flows import runtime, tasks


@dataclass(frozen=True)
class FeatureSet:
    """Which features and labels are stored, and what they were made from.

    Attributes:
        snapshot: of the events.
        split: the as-ofs.
        key: identifies what decided them.
        is_new: whether this run made them.
        users: with a label.
        share: of them, with features stored at every as-of; at the last as-of all users have them.
    """

    snapshot: Snapshot
    split: TimeSplit
    key: str
    is_new: bool
    users: int
    share: float


@flow(name="build-features")
def build_features(scheduler: str | None = None) -> FeatureSet:
    """Compute `user_features` and `churn_labels` for all as-ofs of the split, once per data version and definition.

    In a large shop, features are computed for a sample of the users, the only ones that candidates learn from; at the
    last as-of for all.

    Args:
        scheduler: Dask scheduler of a calling flow.

    Raises:
        NotReady: no events, or too short a history for the churn definition.
        DataRejected: a computed table breaks an expectation; the stored one is as before.
    """
    settings = load_settings()
    with runtime.working_alone(settings):
        return _build(settings, scheduler)


def _build(settings: Settings, scheduler: str | None) -> FeatureSet:
    lake, logger = runtime.open_lake(settings), get_run_logger()
    snapshot = lake.snapshot()
    split = choose_split(snapshot, settings)
    key = feature_key(snapshot, split, settings)
    logger.info("judged at %s; %d as-ofs before it", f"{split.test:%Y-%m-%d}", len(split.as_ofs) - 1)
    if lake.holds(t.USER_FEATURES, key) and lake.holds(t.CHURN_LABELS, key):
        logger.info("features of %s are stored already", snapshot.data_version)
        stored = lake.read(t.CHURN_LABELS)
        users = 0 if stored is None else stored[t.USER_ID].n_unique()
        share = sample_share(users, settings.churn.max_users)
        return FeatureSet(snapshot, split, key, is_new=False, users=users, share=share)
    work = partial(runtime.parts_folder, settings)
    known_at, suites = snapshot.recorded_until, Path(settings.expectations_folder)
    with runtime.dask_scheduler(settings, scheduler) as address:
        labels = tasks.compute_labels(
            snapshot, split.as_ofs, settings.churn, known_at, work(t.CHURN_LABELS.name), address
        )
        users = sum(labels.read(number, (t.USER_ID,))[t.USER_ID].n_unique() for number in labels.numbers)
        share = sample_share(users, settings.churn.max_users)
        features = tasks.compute_features(snapshot, split.as_ofs, work(t.USER_FEATURES.name), address, share=share)
        reports = [
            tasks.validate_table(table, parts.read, parts.numbers, address, expectations=suites)
            for table, parts in ((t.USER_FEATURES, features), (t.CHURN_LABELS, labels))
        ]
    runtime.show_validation(reports, settings, "build-features")
    tasks.replace_table(lake, t.USER_FEATURES, features, key=key)
    tasks.replace_table(lake, t.CHURN_LABELS, labels, key=key)
    return FeatureSet(snapshot, split, key, is_new=True, users=users, share=share)


def choose_split(snapshot: Snapshot, settings: Settings) -> TimeSplit:
    """The as-ofs of training, validation and test: the test is the one in the settings, or the last that can be judged.

    Raises:
        NotReady: the history is too short, or labels or next baskets of the settings' as-of are not known yet.
    """
    ends_at, basket_days = snapshot.recorded_until, settings.recommender.horizon_days
    test = last = last_judged_as_of(ends_at, settings.churn, basket_days)
    if settings.as_of is not None:
        test = datetime.combine(settings.as_of, time(), UTC)
    if test > last:
        what = f"what users bought next ({basket_days} days, horizon_days in [recommender])"
        if last == last_mature_as_of(ends_at, settings.churn):
            what = "whether users left"
        raise NotReady(
            f"as_of is {test:%Y-%m-%d}, but the data ends at {ends_at:%Y-%m-%d %H:%M}: {what} is known up to "
            f"{last:%Y-%m-%d}; set an earlier as_of, or remove it to use that one"
        )
    return time_split(test, snapshot.first_event_at, settings.churn)


def feature_key(snapshot: Snapshot, split: TimeSplit, settings: Settings) -> str:
    """Key of what decides stored features and labels: data, as-ofs, leaving, sample and code; 64 hex digits."""
    code, churn = code_version("features"), settings.churn
    parts = (snapshot.data_version, snapshot.bucket_count, split, churn.definition, churn.max_users, code)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


if __name__ == "__main__":
    runtime.run(build_features)
