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
from everstay.features import TimeSplit, last_mature_as_of, time_split
from everstay.lake import Snapshot
from everstay.settings import Settings, load_settings
from flows import runtime, tasks


@dataclass(frozen=True)
class FeatureSet:
    """Which features and labels are stored, and what they were made from."""

    snapshot: Snapshot
    split: TimeSplit
    key: str
    is_new: bool


@flow(name="build-features")
def build_features(scheduler: str | None = None) -> FeatureSet:
    """Compute `user_features` and `churn_labels` for all as-ofs of the split, once per data version and definition.

    Args:
        scheduler: Dask scheduler of a calling flow.

    Raises:
        NotReady: no events, or too short a history for the churn definition.
        DataRejected: a computed table breaks an expectation; the stored one is as before.
    """
    settings, logger = load_settings(), get_run_logger()
    lake = runtime.open_lake(settings)
    snapshot = lake.snapshot()
    split = choose_split(snapshot, settings)
    key = feature_key(snapshot, split, settings)
    logger.info("judged at %s; %d as-ofs before it", f"{split.test:%Y-%m-%d}", len(split.as_ofs) - 1)
    if lake.holds(t.USER_FEATURES, key) and lake.holds(t.CHURN_LABELS, key):
        logger.info("features of %s are stored already", snapshot.data_version)
        return FeatureSet(snapshot, split, key, is_new=False)
    work = partial(runtime.parts_folder, settings)
    known_at, suites = snapshot.recorded_until, Path(settings.expectations_folder)
    with runtime.dask_scheduler(settings, scheduler) as address:
        features = tasks.compute_features(snapshot, split.as_ofs, work(t.USER_FEATURES.name), address)
        labels = tasks.compute_labels(
            snapshot, split.as_ofs, settings.churn, known_at, work(t.CHURN_LABELS.name), address
        )
        reports = [
            tasks.validate_table(table, parts.read, parts.numbers, address, expectations=suites)
            for table, parts in ((t.USER_FEATURES, features), (t.CHURN_LABELS, labels))
        ]
    runtime.show_validation(reports, settings, "build-features")
    tasks.replace_table(lake, t.USER_FEATURES, features, key=key)
    tasks.replace_table(lake, t.CHURN_LABELS, labels, key=key)
    return FeatureSet(snapshot, split, key, is_new=True)


def choose_split(snapshot: Snapshot, settings: Settings) -> TimeSplit:
    """The as-ofs of training, validation and test: the test is the one in the settings, or the last mature one.

    Raises:
        NotReady: the history is too short, or the as-of of the settings has no mature label.
    """
    test = last = last_mature_as_of(snapshot.recorded_until, settings.churn)
    if settings.as_of is not None:
        test = datetime.combine(settings.as_of, time(), UTC)
    if test > last:
        raise NotReady(
            f"as_of is {test:%Y-%m-%d}, but the data ends at {snapshot.recorded_until:%Y-%m-%d %H:%M}: whether users "
            f"left is known up to {last:%Y-%m-%d}; set an earlier as_of, or leave it out for that one"
        )
    return time_split(test, snapshot.first_event_at, settings.churn)


def feature_key(snapshot: Snapshot, split: TimeSplit, settings: Settings) -> str:
    """Name what decides stored features and labels: data, as-ofs, definition of leaving and code; 64 hex digits."""
    code = code_version("features")
    parts = (snapshot.data_version, snapshot.bucket_count, split, settings.churn.definition, code)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


if __name__ == "__main__":
    runtime.run(build_features)
