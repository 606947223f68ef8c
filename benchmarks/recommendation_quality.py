"""How good are the recommender candidates on the next basket? Full ranking; intervals are over users."""

import argparse
import sys
from functools import partial
from pathlib import Path

from benchmarks.next_basket import next_basket
from benchmarks.result import estimated, parse_arguments, show
from benchmarks.sequence_quality import judge_sequences
from benchmarks.time_split import time_split
from everstay import tables as t
from everstay.errors import EverstayError
from everstay.features.sequences import TARGET_ITEM
from everstay.metrics.comparison import mean_interval, paired_mean_difference
from everstay.recommender import BasketRows, load_artifact, per_user_metrics
from everstay.registry.store import Registry
from everstay.registry.versions import download
from everstay.settings import load_settings
from flows.ingest_events import ingest_events
from flows.train_recommender import train_recommender

_BASELINE = "personal_frequency"
_METRICS = ("ndcg", "recall")
_RESAMPLES = 2_000


def main() -> None:
    """Judge by the protocol that is named, else all candidates on the lake."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, metavar="FILE", help="lines of a user, then items in order")
    parser.add_argument("--folder", type=Path, help="keep what is fitted there, to continue a killed run")
    parser.add_argument("--next-basket", action="store_true", help="last baskets of the Complete Journey, with peers")
    parser.add_argument("--time-split", action="store_true", help="the lake, beside the two usual baselines")
    arguments = parse_arguments("", parser)
    try:
        if arguments.sequences is not None:
            judge_sequences(arguments.sequences, arguments.folder, arguments.json)
        elif arguments.next_basket or arguments.time_split:
            title, rows = next_basket(arguments.folder) if arguments.next_basket else time_split()
            show(title, rows, arguments.json)
        else:
            judge_lake(arguments.json)
    except EverstayError as error:
        sys.exit(str(error))


def judge_lake(json_file: Path | None) -> None:
    """Train what is not trained yet, then judge all candidates on the same users."""
    settings = load_settings()
    ingest_events()
    training = train_recommender()
    registry, k = Registry(settings.mlflow), settings.recommender.list_length
    test = BasketRows.read(training.rows).test
    histories, targets = test.drop(TARGET_ITEM), test.select(t.USER_ID, TARGET_ITEM)
    judged = {
        run.candidate: per_user_metrics(load_artifact(download(registry, run)), histories, targets, k)
        for run in training.runs
    }
    confidence, seed = settings.promotion.confidence, settings.training.seed
    interval = partial(mean_interval, resamples=_RESAMPLES, confidence=confidence, seed=seed)
    difference = partial(paired_mean_difference, resamples=_RESAMPLES, confidence=confidence, seed=seed)
    rows = []
    for name, users in judged.items():
        for metric in _METRICS:
            rows.append(estimated(name, f"{metric}@{k}", interval(users[metric])))
            if name != _BASELINE and _BASELINE in judged:
                against = difference(users[metric], judged[_BASELINE][metric])
                rows.append(estimated(name, f"{metric}@{k}, minus {_BASELINE}'s", against))
    count = next(iter(judged.values())).height
    show(f"Next basket after {test[t.AS_OF][0]:%Y-%m-%d}: {count:,} users", rows, json_file)


if __name__ == "__main__":
    main()
