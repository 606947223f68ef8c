"""What do the list controls cost? NDCG of the best candidate with each, minus without, on the same users.

Diversity and freshness are shown with what they buy: subcategories in a list, and the share of items that have been on
sale for four weeks at most. The policies on repeats are shown with the share of the list that the user had bought.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import polars as pl

from benchmarks.result import Row, estimated, measured, parse_arguments, show
from everstay import tables as t
from everstay.features.sequences import HISTORY_ITEM
from everstay.metrics.comparison import mean_interval, paired_mean_difference
from everstay.recommender import BasketRows, ListModel, ListRules, load_artifact
from everstay.recommender.evaluate import bootstrap, judge_lists
from everstay.recommender.rows import with_targets
from everstay.registry.store import Registry
from everstay.registry.versions import download
from everstay.settings import Recommender, Settings, load_settings
from flows import runtime
from flows.candidates import best_on_validation
from flows.ingest_events import ingest_events
from flows.train_recommender import train_recommender

_NEW_DAYS = 28
_CONTROLS: tuple[tuple[str, dict[str, Any]], ...] = (
    *((f"diversity {weight}", {"lists": {"diversity": weight}}) for weight in (0.05, 0.1, 0.2, 0.4)),
    *((f"freshness {weight}", {"lists": {"freshness": weight}}) for weight in (0.05, 0.1, 0.2, 0.4)),
    ("already bought: after the item's gap", {"already_bought": "after_gap"}),
    ("already bought: never", {"already_bought": "remove"}),
)


@dataclass(frozen=True)
class Bench:
    """The model under test, the users, and the catalogue."""

    model: ListModel
    asked: pl.DataFrame
    items: pl.DataFrame
    as_of: datetime
    settings: Settings

    def lists(self, recommender: Recommender) -> pl.DataFrame:
        """Everybody's list under some rules."""
        rules = ListRules.read(self.items, self.as_of, recommender)
        return self.model.plain_lists(self.asked, recommender.list_length, rules)

    def ndcg(self, lists: pl.DataFrame) -> pl.Series:
        """NDCG of each user."""
        return judge_lists(lists, self.asked, self.settings.recommender.list_length)["ndcg"]


def main() -> None:
    """Train what is not trained yet, and judge the best candidate's lists under each control."""
    arguments = parse_arguments(__doc__ or "")
    settings = load_settings()
    ingest_events()
    training = train_recommender()
    best = best_on_validation(training.runs, settings.promotion.recommender_metric)
    model = load_artifact(download(Registry(settings.mlflow), best))
    test = BasketRows.read(training.rows).test
    items = runtime.open_lake(settings).snapshot().read(t.ITEMS)
    bench = Bench(model, with_targets(test).sort(t.USER_ID), items, test[t.AS_OF][0], settings)
    title = f"Controls of the lists of '{best.candidate}' after {bench.as_of:%Y-%m-%d}: {bench.asked.height:,} users"
    show(title, list(_rows(bench)), arguments.json)


def _rows(bench: Bench) -> Iterator[Row]:
    intervals = bootstrap(bench.settings)
    interval, difference = partial(mean_interval, **intervals), partial(paired_mean_difference, **intervals)
    plain = bench.lists(bench.settings.recommender)
    before = bench.ndcg(plain)
    yield estimated("as the model ranks", "NDCG", interval(before))
    yield from _described("as the model ranks", bench, plain)
    for case, changed in _CONTROLS:
        known = bench.settings.recommender.model_dump()
        lists = bench.lists(Recommender.model_validate({**known, **changed}))
        after = bench.ndcg(lists)
        yield estimated(case, "NDCG", interval(after))
        yield estimated(case, "minus as ranked", difference(after, before))
        yield from _described(case, bench, lists)


def _described(case: str, bench: Bench, lists: pl.DataFrame) -> Iterator[Row]:
    """What a list looks like."""
    known = lists.join(bench.items.select(t.ITEM_ID, t.SUBCATEGORY), on=t.ITEM_ID, how="left")
    kinds = known.group_by(t.USER_ID).agg(pl.col(t.SUBCATEGORY).n_unique())[t.SUBCATEGORY].mean()
    vocabulary = bench.model.vocabulary
    new = vocabulary.items.select(t.ITEM_ID).filter(pl.Series(vocabulary.first_sold_days <= _NEW_DAYS))
    own = bench.asked.select(t.USER_ID, pl.col(HISTORY_ITEM).alias(t.ITEM_ID)).drop_nulls().explode(t.ITEM_ID)
    bought = lists.join(own, on=[t.USER_ID, t.ITEM_ID], how="semi").height
    yield measured(case, "subcategories", float(str(kinds)), "")
    yield measured(case, "new items", 100 * lists.join(new, on=t.ITEM_ID, how="semi").height / lists.height, "%")
    yield measured(case, "bought before", 100 * bought / lists.height, "%")


if __name__ == "__main__":
    main()
