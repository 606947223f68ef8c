"""Popularity by segment is arithmetic; validation chooses how much it weighs; every model gives it to cold users."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import NotReady, SettingsError
from everstay.partitions import IN_PROCESS, compute_parts
from everstay.recommender.artifact import load_artifact, save_artifact
from everstay.recommender.baselines import PersonalFrequencyRanker, popularity
from everstay.recommender.candidates import train_candidate
from everstay.recommender.cold_users import ColdUserRanker, with_segments
from everstay.recommender.config import IalsConfig, PersonalFrequencyConfig, SegmentPopularityConfig
from everstay.recommender.evaluate import fallback_shares
from everstay.recommender.histories import read_histories
from everstay.recommender.ials import IalsRanker, fit_ials
from everstay.recommender.model import FactorRanker, ListModel, Ranker
from everstay.recommender.prepare import prepare_rows
from everstay.recommender.rows import BasketRows
from everstay.recommender.segment_popularity import SegmentPopularityRanker
from everstay.recommender.top_k import top_k
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import Recommender, Settings
from everstay.storage import Folder

from .conftest import AS_OF, Order, basket_rows

CONFIG = SegmentPopularityConfig(prior_orders=20.0, min_users=20)
Fit = Callable[[pl.DataFrame, Vocabulary], Ranker]


def declare(rows: pl.DataFrame, attribute: str = t.AGE_BAND) -> pl.DataFrame:
    """Users of taste 0 are young, of taste 1 old."""
    taste = pl.col(t.USER_ID).str.slice(5).cast(pl.Int32) % 2
    return rows.with_columns(pl.when(taste == 0).then(pl.lit("young")).otherwise(pl.lit("old")).alias(attribute))


@pytest.fixture(scope="module")
def declared(rows: pl.DataFrame) -> pl.DataFrame:
    return declare(rows)


@pytest.fixture(scope="module")
def segments(declared: pl.DataFrame, vocabulary: Vocabulary) -> SegmentPopularityRanker:
    return SegmentPopularityRanker.fit(declared, vocabulary, CONFIG)


@pytest.fixture
def cold() -> pl.DataFrame:
    """Nobody bought a known item: a young user, an old one who bought what is not sold, one without an age."""
    orders: dict[str, list[Order]] = {"young": [], "old": [(4.0, ["never-sold"])], "unknown": []}
    return basket_rows(orders).with_columns(pl.Series(t.AGE_BAND, ["young", "old", None]))


def test_scores_are_shrunk_shares(
    segments: SegmentPopularityRanker, declared: pl.DataFrame, vocabulary: Vocabulary, cold: pl.DataFrame
) -> None:
    counts = np.zeros((2, vocabulary.size))
    for items, days, segment in declared.select("history_item", "history_days_ago", t.AGE_BAND).iter_rows():
        for item, ago in zip(items, days, strict=True):
            if ago <= 28 and (index := vocabulary.items[t.ITEM_ID].index_of(item)) is not None:
                counts[int(segment == "young"), index] += 1
    share = popularity(vocabulary, 28)
    shrunk = (counts + CONFIG.prior_orders * share) / (counts.sum(axis=1, keepdims=True) + CONFIG.prior_orders)
    assert segments.names == ("old", "young")
    np.testing.assert_allclose(
        segments.scores(read_histories(cold, vocabulary)), [shrunk[1], shrunk[0], share], rtol=1e-4, atol=1e-8
    )


def test_small_segments_are_none(declared: pl.DataFrame, vocabulary: Vocabulary, cold: pl.DataFrame) -> None:
    """So that the list of a segment cannot tell what a person bought."""
    few = pl.when(pl.int_range(pl.len()) < 19).then(pl.lit("few")).otherwise(t.AGE_BAND).alias(t.AGE_BAND)
    segments = SegmentPopularityRanker.fit(declared.with_columns(few), vocabulary, CONFIG)
    assert segments.names == ("old", "young")
    nothing = SegmentPopularityRanker.fit(declared, vocabulary, SegmentPopularityConfig(min_users=50))
    assert nothing.names == ()
    histories = read_histories(cold, vocabulary)
    np.testing.assert_allclose(nothing.scores(histories), np.tile(popularity(vocabulary, 28), (3, 1)), rtol=1e-5)
    assert set(nothing.explain(histories, np.array([0, 1]), np.array([2, 3]))) == {"popular now"}


def test_rows_without_the_attribute(rows: pl.DataFrame, segments: SegmentPopularityRanker, cold: pl.DataFrame) -> None:
    with pytest.raises(NotReady, match=r"recommender\.segment_by"):
        SegmentPopularityRanker.fit(rows, Vocabulary.learn(rows, 2), CONFIG)
    another = read_histories(cold.rename({t.AGE_BAND: t.INCOME_BAND}), Vocabulary.learn(rows, 2))
    assert not segments.is_served(another).any()


def fit_frequency(rows: pl.DataFrame, vocabulary: Vocabulary) -> Ranker:
    return PersonalFrequencyRanker.fit(vocabulary, PersonalFrequencyConfig())


def fit_factors(rows: pl.DataFrame, vocabulary: Vocabulary) -> Ranker:
    factors = fit_ials(read_histories(rows, vocabulary), vocabulary.size, IalsConfig(factors=4), 3)
    return IalsRanker.build(vocabulary, IalsConfig(factors=4), factors)


@pytest.mark.parametrize("fit", [fit_frequency, fit_factors])
def test_every_model_gives_cold_users_their_segments_list(
    fit: Fit,
    declared: pl.DataFrame,
    vocabulary: Vocabulary,
    segments: SegmentPopularityRanker,
    cold: pl.DataFrame,
    tmp_path: Path,
) -> None:
    plain = ListModel("x", fit(declared, vocabulary), vocabulary, "keep")
    model = ListModel("x", with_segments(plain.ranker, segments), vocabulary, "keep")
    asked = pl.concat([declared[:4], cold], how="diagonal_relaxed")
    lists = model.recommend(asked, 5)
    best, _ = top_k(segments.scores(read_histories(cold, vocabulary)), 5, None)
    for user, expected in zip(("young", "old"), best[:2], strict=True):
        own = lists.filter(pl.col(t.USER_ID) == user)
        assert own[t.ITEM_ID].to_list() == vocabulary.ids(expected).to_list()
        assert set(own[t.REASON]) == {"popular with your age band"}
        usual = plain.recommend(asked, 1).filter(pl.col(t.USER_ID) == user)
        assert own[t.SCORE][0] == pytest.approx(usual[t.SCORE][0])  # users stay comparable
    others = pl.col(t.USER_ID).is_in(["young", "old"]).not_()
    assert lists.filter(others).equals(plain.recommend(asked, 5).filter(others))
    loaded = load_artifact(save_artifact(model, tmp_path / "a", as_of=AS_OF, data_version="events-1", params={}))
    assert isinstance(loaded.ranker, ColdUserRanker)
    assert loaded.segment_by == t.AGE_BAND
    assert loaded.recommend(asked, 5).equals(lists)
    assert plain.segment_by is None


def test_users_of_a_campaign_are_found_by_the_same_scores(
    declared: pl.DataFrame, vocabulary: Vocabulary, segments: SegmentPopularityRanker, cold: pl.DataFrame
) -> None:
    ranker = with_segments(fit_factors(declared, vocabulary), segments)
    histories = read_histories(cold, vocabulary)
    assert isinstance(ranker, FactorRanker)
    users, items = ranker.user_vectors(histories), ranker.item_vectors()
    np.testing.assert_allclose(users @ items.T, ranker.scores(histories), rtol=1e-5, atol=1e-7)


def test_fallbacks_are_told_apart(
    declared: pl.DataFrame, vocabulary: Vocabulary, segments: SegmentPopularityRanker, cold: pl.DataFrame
) -> None:
    asked = pl.concat([declared[:1], cold], how="diagonal_relaxed")
    asked = asked.with_columns(pl.lit(["staple-0-1", "never-sold"]).alias("target_item"))
    plain = fit_frequency(declared, vocabulary)
    expected = {"cold_user_share": 3 / 4, "cold_item_share": 1 / 2, "cold_item_content_share": 0.0}
    for ranker, share in ((plain, 0.0), (with_segments(plain, segments), 1 / 2), (segments, 1 / 2)):
        model = ListModel("x", ranker, vocabulary, "keep")
        assert fallback_shares(model, asked, 2) == {**expected, "cold_user_segment_share": share}


@pytest.mark.parametrize("name", ["segment_popularity", "popularity"])
def test_the_validation_chooses_how_much_a_segment_weighs(name: str, declared: pl.DataFrame, tmp_path: Path) -> None:
    """Young and old share no item, so that the smallest prior is best; all candidates give it to cold users."""
    many = pl.concat([declared.with_columns(pl.col(t.USER_ID) + f"-{n}") for n in range(2)])
    settings = Settings(recommender=Recommender(min_item_users=2, list_length=3, segment_by=t.AGE_BAND))
    folder = BasketRows(many, many).write(tmp_path / "rows")
    model = load_artifact(train_candidate(name, folder, settings, tmp_path, "events-1") / "artifact")
    ranker = model.ranker.segments if isinstance(model.ranker, ColdUserRanker) else model.ranker
    assert isinstance(ranker, SegmentPopularityRanker)
    assert ranker.config.prior_orders == 1_000.0
    assert ranker.names == ("old", "young")
    assert model.segment_by == t.AGE_BAND


def test_an_attribute_that_nobody_declares_is_refused(rows: pl.DataFrame, tmp_path: Path) -> None:
    class Lake:
        def read(self, table: t.Table) -> pl.DataFrame:
            return t.USERS.conform(rows.select(t.USER_ID)) if table is t.USERS else table.empty()

    parts = compute_parts(lambda bucket: rows, range(1), Folder(str(tmp_path / "parts")), IN_PROCESS)
    with pytest.raises(SettingsError, match="no user declares income_band"):
        prepare_rows(Lake(), parts, parts, tmp_path / "rows", t.INCOME_BAND)
    assert not (tmp_path / "rows").exists()


def test_a_candidate_of_segments_needs_them() -> None:
    with pytest.raises(ValueError, match="set segment_by"):
        Recommender(candidates=("segment_popularity",))
