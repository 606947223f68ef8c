"""Rating factors equal a slow reference, recover a planted taste, and foretell ratings better than biases alone."""

import os

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import NotReady
from everstay.recommender.cold_users import ColdUserRanker
from everstay.recommender.config import RatingFactorsConfig, SegmentPopularityConfig
from everstay.recommender.histories import FloatArray, Ratings, read_histories
from everstay.recommender.model import ListModel
from everstay.recommender.rating_factors import RatingFactorsRanker
from everstay.recommender.rating_fit import fit_ratings, predict, solve_users
from everstay.recommender.segment_popularity import SegmentPopularityRanker
from everstay.recommender.vocabulary import Vocabulary

from .conftest import rate

MOVIELENS = os.environ.get("MOVIELENS_100K", "")
"""A file with a header, then user, item, stars and time between tabs; it may not be passed on, so it is not here."""

CONFIG = RatingFactorsConfig(factors=3, regularization=0.7, bias_regularization=0.4)


def drawn(users: int, items: int, count: int, seed: int) -> Ratings:
    """Ratings of users of two tastes, each of whom likes one half of the items; no pair twice."""
    generator = np.random.default_rng(seed)
    user, item = np.divmod(generator.choice(users * items, count, replace=False), items)
    value = np.where(user % 2 == item % 2, 4.0, 2.0) + generator.integers(0, 2, count)
    return Ratings(user, item, value, users)


def error(ratings: Ratings, known: Ratings, items: int, config: RatingFactorsConfig) -> float:
    """Root of the mean squared error of ratings that are foretold from others."""
    factors = fit_ratings(known, items, config, 1)
    of_users = solve_users(known, factors.of_items, factors.mean, config)
    return float(np.sqrt(np.mean((predict(factors, of_users, ratings.user, ratings.item) - ratings.value) ** 2)))


def test_users_are_solved_for_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everstay.recommender.rating_fit._RATINGS_AT_ONCE", 7)
    ratings, of_items = drawn(9, 8, 30, 1), np.random.default_rng(2).normal(size=(8, 4))
    ratings = Ratings(ratings.user, ratings.item, ratings.value, 11)  # two users rated nothing
    solved = solve_users(ratings, of_items, 3.2, CONFIG)
    for user in range(11):
        own = ratings.user == user
        inputs = np.column_stack([np.ones(own.sum()), of_items[ratings.item[own], 1:]])
        wanted = ratings.value[own] - 3.2 - of_items[ratings.item[own], 0]
        penalty = np.diag(np.sqrt([0.4, 0.7, 0.7, 0.7]))
        expected, *_ = np.linalg.lstsq(np.vstack([inputs, penalty]), np.append(wanted, np.zeros(4)))
        np.testing.assert_allclose(solved[user], expected, atol=1e-10)
    assert not solved[9:].any()


def test_no_other_solution_is_better() -> None:
    """What is found is a minimum: moving any bias or factor of an item a little raises what is minimised."""
    ratings, config = drawn(20, 10, 120, 3), CONFIG.model_copy(update={"iterations": 200})
    factors = fit_ratings(ratings, 10, config, 1)

    def loss(of_items: FloatArray) -> float:
        of_users = solve_users(ratings, of_items, factors.mean, config)
        users, items = of_users[ratings.user], of_items[ratings.item]
        foretold = factors.mean + users[:, 0] + items[:, 0] + (users[:, 1:] * items[:, 1:]).sum(axis=1)
        squares = (of_users**2).sum(axis=0) + (of_items**2).sum(axis=0)
        return float(((foretold - ratings.value) ** 2).sum() + squares @ [0.4, 0.7, 0.7, 0.7])

    least = loss(factors.of_items)
    for move in np.random.default_rng(4).normal(0.0, 0.01, (20, 10, 4)):
        assert loss(factors.of_items + move) > least


def test_the_taste_is_found() -> None:
    ratings = drawn(60, 20, 900, 5)
    known, asked = (part_of(ratings, np.arange(900) % 6 == 0, is_asked) for is_asked in (False, True))
    config = CONFIG.model_copy(update={"factors": 1})
    assert error(asked, known, 20, config) < 0.6  # what is drawn has a deviation of .5
    assert error(asked, known, 20, config.model_copy(update={"regularization": 1e9})) > 1.0


def part_of(ratings: Ratings, is_asked: np.ndarray, wanted: bool) -> Ratings:
    kept = is_asked == wanted
    return Ratings(ratings.user[kept], ratings.item[kept], ratings.value[kept], ratings.user_count)


def test_what_nobody_rated_comes_last(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    rated = rate(rows).with_columns(pl.col("rated_item").list.head(1), pl.col("rated_value").list.head(1))
    ranker = RatingFactorsRanker.fit(rated, vocabulary, CONFIG)
    lists = ListModel("rating_factors", ranker, vocabulary, "keep").recommend(rated[:5], vocabulary.size)
    known = rated["rated_item"].explode().unique().implode()
    is_rated = pl.col(t.ITEM_ID).is_in(known)
    assert lists.filter(is_rated)[t.RANK].max() == lists.filter(is_rated)[t.ITEM_ID].n_unique()
    assert set(lists.filter(~is_rated)[t.REASON]) == {"popular now"}


def test_staples_are_liked_more(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    model = ListModel("rating_factors", RatingFactorsRanker.fit(rate(rows), vocabulary, CONFIG), vocabulary, "keep")
    assert model.reads_ratings
    lists = model.recommend(rate(rows), 10)
    assert lists[t.ITEM_ID].str.starts_with("staple").all()
    others = model.recommend(rows, 1)
    assert others[t.ITEM_ID].n_unique() == 1
    assert others[t.REASON].str.contains("^others rate it about [45]\\.[0-9] of 5$").all()


def test_who_rated_is_not_cold(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    declared = rate(rows.with_columns(pl.lit("old").alias(t.AGE_BAND)))
    segments = SegmentPopularityRanker.fit(declared, vocabulary, SegmentPopularityConfig())
    new = declared.with_columns(pl.lit(None, pl.List(pl.String)).alias("history_item"))[:3]
    new = new.with_columns(pl.when(pl.int_range(3) > 0).then("rated_item").alias("rated_item"))
    ratings = RatingFactorsRanker.fit(declared, vocabulary, CONFIG)
    histories = read_histories(new, vocabulary)
    assert ColdUserRanker(ratings, segments).is_served(histories).tolist() == [True, False, False]
    assert ColdUserRanker(segments, segments).is_served(histories).all()


def test_nothing_to_learn_from(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    with pytest.raises(NotReady, match="events with a rating"):
        RatingFactorsRanker.fit(rows, vocabulary, CONFIG)
    strange = rate(rows).with_columns(pl.lit(["never-sold"]).alias("rated_item"), pl.lit([3.0]).alias("rated_value"))
    with pytest.raises(NotReady, match="events with a rating"):
        RatingFactorsRanker.fit(strange, vocabulary, CONFIG)


@pytest.mark.skipif(not MOVIELENS, reason="MOVIELENS_100K does not name the file of MovieLens 100K's ratings")
def test_movielens_is_foretold_better_than_by_biases() -> None:
    """Each user's ratings in order of time: the ninth tenth from the first eight; the last is not looked at."""
    table = pl.read_csv(MOVIELENS, separator="\t", new_columns=["user", "item", "stars", "at"])
    table = table.sort("user", "at", "item")
    place = pl.int_range(pl.len()).over("user") / pl.len().over("user")
    table = table.with_columns(pl.col("user", "item").rank("dense") - 1, place.alias("place"))

    def ratings(rows: pl.DataFrame) -> Ratings:
        user, item = (rows[name].to_numpy().astype(np.int64) for name in ("user", "item"))
        return Ratings(user, item, rows["stars"].to_numpy().astype(np.float64), 943)

    known = ratings(table.filter(pl.col("place") < 0.8))
    asked = ratings(table.filter(pl.col("place").is_between(0.8, 0.9, closed="left")))
    config = RatingFactorsConfig()
    biases = config.model_copy(update={"factors": 1, "regularization": 1e9, "iterations": 4})
    assert error(asked, known, 1682, config) < 0.95
    assert error(asked, known, 1682, biases) > 0.96
