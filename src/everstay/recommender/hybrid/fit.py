"""Fit the trees of the two-stage candidate on questions of the past, each described as of its own moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import polars as pl
from numpy.typing import NDArray

from everstay.errors import NotReady
from everstay.features.sequences import TARGET_ITEM
from everstay.recommender.batches import orders_before
from everstay.recommender.config import HybridConfig
from everstay.recommender.histories import Histories, IntArray, read_histories, spread
from everstay.recommender.hybrid.facts import PastFacts
from everstay.recommender.hybrid.pairs import PairMaker, Pairs, Questions, feature_names
from everstay.recommender.hybrid.ranker import HybridRanker, breadth, groupings, now
from everstay.recommender.repeats import track_repeats
from everstay.recommender.trends import WEEK
from everstay.recommender.vocabulary import ITEM_INDEX, Vocabulary

_CELLS_AT_ONCE = 8_000_000  # of the dense scores from which candidates are taken: 32 MB
_PATIENCE = 20  # trees without a better validation loss
_LIST_LENGTH = 10


@dataclass(frozen=True)
class FittedHybrid:
    """A ranker, its trees, and the validation loss after each of them."""

    ranker: HybridRanker
    trees: int
    curves: Mapping[str, list[float]]


@dataclass(frozen=True)
class Examples:
    """Pairs with their answers: `is_target` (P,), `weight` (P,) = 1 / min(items of the basket, length of a list)."""

    pairs: Pairs
    is_target: NDArray[np.bool_]
    weight: NDArray[np.float64]


def fit_hybrid_ranker(
    rows: pl.DataFrame, vocabulary: Vocabulary, config: HybridConfig, horizon_days: int, seed: int, trees: int = 0
) -> FittedHybrid:
    """Fit on what lies before the as-of of `rows`.

    Args:
        rows: purchase histories at one as-of and, to find the number of trees, `target_item`.
        vocabulary: learned at the same as-of.
        config: of the candidates and the trees.
        horizon_days: within which a next basket counts.
        seed: of the trees.
        trees: number to grow, ignoring targets; 0: stop where the loss of `target_item` is smallest.

    Raises:
        NotReady: nobody has a second order within the horizon.
    """
    histories = read_histories(rows, vocabulary)
    tracked = track_repeats(histories)
    facts = PastFacts(histories, tracked, vocabulary.size)
    maker = PairMaker(histories, tracked, groupings(vocabulary), breadth(config))
    learned = with_next_order(maker, facts, past_questions(histories, config, horizon_days))
    validation = None if trees else with_targets(maker, facts, rows, vocabulary)
    names = feature_names(len(maker.groupings))
    booster, curves = grow(learned, validation, names, config, seed, trees)
    ranker = HybridRanker(config, booster, facts.at(0), vocabulary)
    return FittedHybrid(ranker, max(1, booster.num_trees()), curves)


def past_questions(histories: Histories, config: HybridConfig, horizon_days: int) -> Questions:
    """Weekly past moments of users who had bought before and came back within the horizon.

    If there are more than `config.max_questions`, every n-th is taken.
    """
    weeks = np.arange(1, config.moments + 1)
    user = np.repeat(np.arange(histories.user_count), len(weeks))
    days_ago = np.tile(weeks * float(WEEK), histories.user_count)
    seen = orders_before(histories, user, days_ago)
    has_next = seen < histories.user_start[user + 1]
    waited = days_ago - histories.order_days_ago[np.where(has_next, seen, 0)]
    answered = np.flatnonzero(has_next & (seen > histories.user_start[user]) & (waited < horizon_days))
    if not len(answered):
        raise NotReady("nobody has a second order within the horizon: the hybrid has nothing to learn from")
    step = -(-len(answered) // config.max_questions)
    return Questions(user, seen, days_ago).part(answered[::step])


def with_next_order(maker: PairMaker, facts: PastFacts, questions: Questions) -> Examples:
    """Describe candidates; the first order that a question does not see is its answer."""
    histories = maker.histories
    start = histories.order_start[questions.seen_until]
    question, line = spread(start, histories.order_start[questions.seen_until + 1] - start)
    return _answered(describe(maker, facts, questions), question, histories.line_item[line], facts.items)


def with_targets(maker: PairMaker, facts: PastFacts, rows: pl.DataFrame, vocabulary: Vocabulary) -> Examples | None:
    """Describe candidates at the as-of itself; `target_item` is the answer. None when no target is a known item."""
    targets = rows.select(TARGET_ITEM).with_row_index("user").drop_nulls().explode(TARGET_ITEM)
    known = vocabulary.with_index(targets, TARGET_ITEM).drop_nulls(ITEM_INDEX)
    user, item = (known[name].to_numpy().astype(np.int64) for name in ("user", ITEM_INDEX))
    if not len(item):
        return None
    asked, question = np.unique(user, return_inverse=True)
    return _answered(describe(maker, facts, now(maker.histories).part(asked)), question, item, vocabulary.size)


def describe(maker: PairMaker, facts: PastFacts, questions: Questions) -> Pairs:
    """Pairs of all questions, each with the facts of its own moment, rounded up to whole days before the as-of."""
    day = np.ceil(questions.days_ago).astype(np.int64)
    at_once = max(1, _CELLS_AT_ONCE // facts.items)
    parts = []
    for moment in np.unique(day):
        known, chosen = facts.at(int(moment)), np.flatnonzero(day == moment)
        for part in np.array_split(chosen, -(-len(chosen) // at_once)):
            pairs = maker.make(questions.part(part), known)
            parts.append(Pairs(part[pairs.question], pairs.item, pairs.features))
    question = np.concatenate([part.question for part in parts])
    order = np.argsort(question, kind="stable")
    item, features = (np.concatenate([getattr(part, name) for part in parts]) for name in ("item", "features"))
    return Pairs(question[order], item[order], features[order])


def _answered(pairs: Pairs, question: IntArray, item: IntArray, items: int) -> Examples:
    is_target = np.isin(pairs.question * items + pairs.item, question * items + item)
    sizes = np.bincount(question, minlength=pairs.question.max(initial=0) + 1)
    return Examples(pairs, is_target, 1.0 / sizes[pairs.question].clip(1, _LIST_LENGTH))


def grow(
    learned: Examples, validation: Examples | None, names: list[str], config: HybridConfig, seed: int, trees: int
) -> tuple[lightgbm.Booster, dict[str, list[float]]]:
    """Boost trees on the logistic loss of pairs; with a validation set, stop early where its loss is smallest."""
    data = _dataset(learned, names)
    curves: dict[str, dict[str, list[float]]] = {}
    watched: dict[str, Any] = {}
    if validation is not None:
        stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
        watched = {
            "valid_sets": [_dataset(validation, names, data)],
            "valid_names": ["validation"],
            "callbacks": [stop, lightgbm.record_evaluation(curves)],
        }
    booster = lightgbm.train(_parameters(config, seed), data, trees or config.max_trees, **watched)
    loss = {"validation_loss": curves["validation"]["binary_logloss"]} if curves else {}
    kept = booster.model_to_string(num_iteration=booster.best_iteration or -1)
    return lightgbm.Booster(model_str=kept), loss


def _dataset(examples: Examples, names: list[str], reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        examples.pairs.features, examples.is_target, weight=examples.weight, feature_name=names, reference=reference
    )


def _parameters(config: HybridConfig, seed: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "num_leaves": config.leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": config.min_leaf_pairs,
        "feature_fraction": config.feature_share,
        "bagging_fraction": config.pair_share,
        "bagging_freq": 1,
        "lambda_l2": config.leaf_penalty,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
