"""The global time split on any lake: what is learned before one moment is judged on what everybody buys next after it.

The rivals are popularity of the last seven days and personal frequency. The champion is the candidate that was chosen
on the next baskets before that moment when it is surely better than both; otherwise it is the better baseline.
"""

from functools import partial

import polars as pl

from benchmarks.result import Row, estimated
from everstay import tables as t
from everstay.features.sequences import TARGET_ITEM
from everstay.metrics.comparison import Interval, mean_interval, paired_mean_difference
from everstay.recommender import BasketRows, ListModel, load_artifact, per_user_metrics
from everstay.recommender.baselines import PersonalFrequencyRanker, PopularityRanker
from everstay.recommender.config import PersonalFrequencyConfig, PopularityConfig
from everstay.recommender.evaluate import Bootstrap, bootstrap
from everstay.recommender.model import Ranker
from everstay.recommender.vocabulary import Vocabulary
from everstay.registry.store import Registry
from everstay.registry.versions import download
from everstay.settings import Settings, load_settings
from flows.ingest_events import ingest_events
from flows.train_recommender import train_recommender

METRICS = ("ndcg", "recall", "hit_rate")
WEEK_POPULARITY = "popularity, 7 days"
PERSONAL_FREQUENCY = "personal_frequency"
_RESAMPLES = 2_000


def time_split() -> tuple[str, list[Row]]:
    """Title with the verdict, and rows; trains what is not trained yet."""
    settings = load_settings()
    ingest_events()
    training = train_recommender()
    registry, k = Registry(settings.mlflow), settings.recommender.list_length
    test = BasketRows.read(training.rows).test
    models = {run.candidate: load_artifact(download(registry, run)) for run in training.runs}
    models = _baselines(test, settings) | models
    users = {name: per_user_metrics(model, test.drop(TARGET_ITEM), test, k) for name, model in models.items()}
    drawn: Bootstrap = {**bootstrap(settings), "resamples": _RESAMPLES}
    interval, difference = partial(mean_interval, **drawn), partial(paired_mean_difference, **drawn)
    rows, margins = [], {}
    for name, judged in users.items():
        rows += [estimated(name, f"{metric}@{k}", interval(judged[metric])) for metric in METRICS]
        for rival in (WEEK_POPULARITY, PERSONAL_FREQUENCY):
            margins[name, rival] = difference(judged["ndcg"], users[rival]["ndcg"])
            if name != rival:
                rows.append(estimated(name, f"ndcg@{k}, minus {rival}'s", margins[name, rival]))
    count = next(iter(users.values())).height
    verdict = champion(training.challenger.candidate, margins)
    return f"Time split at {test[t.AS_OF][0]:%Y-%m-%d}: {count:,} users. {verdict}", rows


def _baselines(test: pl.DataFrame, settings: Settings) -> dict[str, ListModel]:
    """Both rivals as of the test; a candidate `personal_frequency`, with chosen settings, takes the place of ours."""
    vocabulary, policy = (
        Vocabulary.learn(test, settings.recommender.min_item_users),
        settings.recommender.already_bought,
    )
    rankers: dict[str, Ranker] = {
        WEEK_POPULARITY: PopularityRanker.fit(vocabulary, PopularityConfig(window_days=7)),
        PERSONAL_FREQUENCY: PersonalFrequencyRanker.fit(vocabulary, PersonalFrequencyConfig()),
    }
    return {name: ListModel(name, ranker, vocabulary, policy) for name, ranker in rankers.items()}


def champion(chosen: str, margins: dict[tuple[str, str], Interval]) -> str:
    """The verdict in words; `margins` of candidate and rival in NDCG."""
    better = WEEK_POPULARITY if margins[WEEK_POPULARITY, PERSONAL_FREQUENCY].value > 0 else PERSONAL_FREQUENCY
    if chosen == better:
        return f"Champion: the baseline {better}, best on validation too"
    behind = [rival for (name, rival), margin in margins.items() if name == chosen and margin.low <= 0]
    if not behind:
        return f"Champion: {chosen}, surely better than both baselines"
    return f"Champion: the baseline {better}; {chosen} is not surely better than {' and '.join(behind)}"
