"""What every recommender keeps: one contract, a subclass per candidate."""

import dataclasses
import json
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.errors import EverstayError
from everstay.recommender.artifact import load_artifact, save_artifact
from everstay.recommender.association_rules import AssociationRulesRanker
from everstay.recommender.baselines import (
    ItemNeighboursRanker,
    PersonalFrequencyRanker,
    PopularityRanker,
    find_neighbours,
)
from everstay.recommender.blend import BlendRanker
from everstay.recommender.category_popularity import CategoryPopularityRanker
from everstay.recommender.config import (
    BlendConfig,
    HybridConfig,
    IalsConfig,
    ItemNeighboursConfig,
    LinearConfig,
    PersonalFrequencyConfig,
    PopularityConfig,
    RatingFactorsConfig,
    SegmentPopularityConfig,
)
from everstay.recommender.families import FAMILIES
from everstay.recommender.histories import read_histories
from everstay.recommender.hybrid.fit import fit_hybrid_ranker
from everstay.recommender.ials import IalsRanker, fit_ials
from everstay.recommender.linear import LinearRanker
from everstay.recommender.linear_fit import fit_linear
from everstay.recommender.model import FactorRanker, ListModel, Ranker
from everstay.recommender.network_config import NetworkConfig, SequentialConfig
from everstay.recommender.network_fit import fit_network_ranker
from everstay.recommender.ranker import NetworkRanker
from everstay.recommender.rating_factors import RatingFactorsRanker
from everstay.recommender.segment_popularity import SegmentPopularityRanker
from everstay.recommender.sequences import Sequences
from everstay.recommender.sequential import SequentialRanker
from everstay.recommender.sequential_fit import fit_sequential
from everstay.recommender.user_neighbours import UserNeighboursRanker
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import Training

from .conftest import AS_OF, rate

K = 10


class ModelContract:
    """Subclass it with a name and a fitted ranker."""

    name: ClassVar[str]

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, rows: pl.DataFrame, vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> ListModel:
        ranker = cls.fit(rows, vocabulary, tmp_path_factory.mktemp("fit"))
        return ListModel(cls.name, ranker, vocabulary, "keep")

    def test_every_user_gets_k_different_known_items(self, model: ListModel, few: pl.DataFrame) -> None:
        lists = model.recommend(few, K)
        assert lists.schema == {
            t.USER_ID: pl.String, t.RANK: pl.Int32, t.ITEM_ID: pl.String, t.SCORE: pl.Float64, t.REASON: pl.String,
        }  # fmt: skip
        assert lists[t.USER_ID].unique(maintain_order=True).to_list() == few[t.USER_ID].to_list()
        assert lists.group_by(t.USER_ID).agg(pl.col(t.RANK).sort())[t.RANK].to_list() == [[*range(1, K + 1)]] * 6
        assert lists.select(t.USER_ID, t.ITEM_ID).is_unique().all()
        assert lists[t.ITEM_ID].is_in(model.vocabulary.items[t.ITEM_ID].implode()).all()
        assert lists[t.SCORE].is_finite().all()
        assert (lists.group_by(t.USER_ID).agg(pl.col(t.SCORE).diff().max())[t.SCORE] <= 0).all()
        assert lists[t.REASON].str.len_chars().min() > 5  # type: ignore[operator]

    def test_users_without_known_history_get_the_same_list(self, model: ListModel, few: pl.DataFrame) -> None:
        lists = model.recommend(few, K)
        cold = [lists.filter(pl.col(t.USER_ID) == user)[t.ITEM_ID].to_list() for user in ("empty", "none", "stranger")]
        assert cold[0] == cold[1] == cold[2]

    def test_nobody_but_cold_users(self, model: ListModel, few: pl.DataFrame) -> None:
        cold = few.filter(pl.col(t.USER_ID).is_in(["empty", "none"]))
        together = model.recommend(few, K).filter(pl.col(t.USER_ID).is_in(["empty", "none"]))
        assert model.recommend(cold, K)[t.ITEM_ID].to_list() == together[t.ITEM_ID].to_list()

    def test_no_user_gives_no_list(self, model: ListModel, few: pl.DataFrame) -> None:
        assert model.recommend(few.clear(), K).is_empty()

    def test_company_changes_no_list(self, model: ListModel, rows: pl.DataFrame) -> None:
        together = model.recommend(rows, 5).filter(pl.col(t.USER_ID).is_in(rows[t.USER_ID][10:13].implode()))
        alone = model.recommend(rows[10:13], 5)
        assert_frame_equal(together, alone, rel_tol=1e-4)

    def test_removing_what_was_bought(self, model: ListModel, rows: pl.DataFrame, few: pl.DataFrame) -> None:
        strict = ListModel(model.name, model.ranker, model.vocabulary, "remove")
        everybody = pl.concat([rows, few])
        lists = strict.recommend(everybody, K)
        bought = everybody.select(t.USER_ID, pl.col("history_item").alias(t.ITEM_ID)).explode(t.ITEM_ID)
        assert lists.join(bought, on=[t.USER_ID, t.ITEM_ID], how="inner").is_empty()
        assert (lists.group_by(t.USER_ID).len()["len"] == K).all()
        assert not lists[t.REASON].str.contains("bought (once|[0-9]+ times)").any()

    def test_an_artifact_gives_the_same_lists(self, model: ListModel, few: pl.DataFrame, tmp_path: Path) -> None:
        folder = save_artifact(model, tmp_path / "a", as_of=AS_OF, data_version="events-1", params={"tried": 3})
        loaded = load_artifact(folder)
        assert_frame_equal(loaded.recommend(few, K), model.recommend(few, K), check_exact=True)
        assert loaded.ranker.config == model.ranker.config
        assert loaded.already_bought == model.already_bought
        assert {path.suffix for path in folder.iterdir()} <= {".json", ".parquet", ".safetensors", ".txt"}
        card = json.loads((folder / "artifact.json").read_text())
        assert card["name"] == self.name
        assert card["as_of"] == AS_OF.isoformat()

    def test_chunks_change_nothing(self, model: ListModel, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = model.recommend(rows, K)
        monkeypatch.setattr("everstay.recommender.model._MOST_USERS", 7)
        assert_frame_equal(model.recommend(rows, K), whole, rel_tol=1e-4)


class FactorContract(ModelContract):
    """Subclass it for a ranker whose scores are products of vectors."""

    def test_scores_are_products(self, model: ListModel, few: pl.DataFrame) -> None:
        histories = read_histories(few, model.vocabulary)
        assert isinstance(model.ranker, FactorRanker)
        users, items = model.ranker.user_vectors(histories), model.ranker.item_vectors()
        assert users.dtype == items.dtype == np.float32
        np.testing.assert_allclose(users @ items.T, model.ranker.scores(histories), rtol=1e-5, atol=1e-6)


class TestPopularity(ModelContract):
    name = "popularity"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        return PopularityRanker.fit(vocabulary, PopularityConfig())

    def test_reason(self, model: ListModel, few: pl.DataFrame) -> None:
        assert set(model.recommend(few, 3)[t.REASON]) == {"popular now"}


class TestPersonalFrequency(ModelContract):
    name = "personal_frequency"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        return PersonalFrequencyRanker.fit(vocabulary, PersonalFrequencyConfig(prior_orders=0.01))

    def test_reasons(self, model: ListModel, few: pl.DataFrame) -> None:
        lists = model.recommend(few, 3)
        first = lists.filter(pl.col(t.RANK) == 1)
        assert first.select(t.ITEM_ID, t.REASON).row(0) == ("staple-0-1", "bought 3 times, last 5 days ago")
        assert set(lists.filter(pl.col(t.USER_ID) == "none")[t.REASON]) == {"popular now"}

    def test_scores_are_decayed_counts(self, model: ListModel, few: pl.DataFrame) -> None:
        score = model.recommend(few[:1], 1)[t.SCORE][0]
        assert score == pytest.approx(sum(2 ** (-days / 84) for days in (21.0, 14.0, 5.5)), abs=1e-2)


class TestItemNeighbours(ModelContract):
    name = "item_neighbours"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        near = find_neighbours(read_histories(rows, vocabulary), vocabulary.size)
        return ItemNeighboursRanker.build(vocabulary, ItemNeighboursConfig(prior_orders=0.01), near)

    def test_neighbours_have_the_same_taste(self, model: ListModel, few: pl.DataFrame) -> None:
        lists = model.recommend(few.filter(pl.col(t.USER_ID) == "regular"), K)
        new = lists.filter(pl.col(t.REASON).str.starts_with("because you bought"))
        assert new.height >= 5
        assert new[t.ITEM_ID].str.contains("-0-").all()
        assert new[t.REASON].str.contains("staple-0-1|new-0-3").all()


class TestNetwork(ModelContract):
    name = "network"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        config = NetworkConfig(dimensions=16, epochs=2, learning_rate=0.01)
        training = Training(seed=3, accelerator="cpu")
        return fit_network_ranker(rows, vocabulary, config, 28, training, folder).ranker

    def test_a_reason_is_the_larger_part_of_the_mixture(self, model: ListModel, rows: pl.DataFrame) -> None:
        histories, ranker = read_histories(rows, model.vocabulary), model.ranker
        assert isinstance(ranker, NetworkRanker)
        questions = ranker._questions(histories)
        with torch.inference_mode():
            hidden = ranker.network.encode(questions)
            explore = torch.softmax(ranker.network.explore_logits(hidden, questions), dim=1)
            explore *= ranker.network.repeat(hidden, questions).log_explore.exp()[:, None]
        share = explore.numpy() / np.exp(ranker.scores(histories))
        user, item = np.divmod(np.arange(share.size), model.vocabulary.size)
        repeats = [reason.startswith(("bought", "due")) for reason in ranker.explain(histories, user, item)]
        is_clear = np.abs(share.ravel() - 0.5) > 1e-3
        np.testing.assert_array_equal(np.array(repeats)[is_clear], share.ravel()[is_clear] < 0.5)
        assert 20 < sum(repeats) < len(repeats) - 20


class TestHybrid(ModelContract):
    name = "hybrid"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        config = HybridConfig(max_trees=20, min_leaf_pairs=20, popular_candidates=8, near_candidates=8)
        return fit_hybrid_ranker(rows, vocabulary, config, 28, 3).ranker

    def test_repeats_come_first(self, model: ListModel, few: pl.DataFrame) -> None:
        first = model.recommend(few, 1)
        assert first.select(t.ITEM_ID, t.REASON).row(0) == ("staple-0-1", "bought 3 times, last 5 days ago")

    def test_trees_of_other_features_are_refused(self, model: ListModel, tmp_path: Path) -> None:
        folder = save_artifact(model, tmp_path / "a", as_of=AS_OF, data_version="events-1", params={})
        trees = folder / "trees.txt"
        trees.write_text(trees.read_text().replace("log_tried_3d", "log_other_3d"))
        with pytest.raises(EverstayError, match=r"trees\.txt was trained on other features .* retrain the hybrid"):
            load_artifact(folder)

    def test_the_rest_follows_in_order_of_popularity(self, model: ListModel, few: pl.DataFrame) -> None:
        lists = model.recommend(few, model.vocabulary.size).filter(pl.col(t.USER_ID) == "none")
        rest = lists.filter(pl.col(t.SCORE) < 0)
        assert rest.height > 10
        orders = dict(zip(model.vocabulary.items[t.ITEM_ID], model.vocabulary.purchases(28), strict=True))
        counts = [orders[item] for item in rest[t.ITEM_ID]]
        assert counts == sorted(counts, reverse=True)


class FamilyContract(ModelContract):
    """Of `FAMILIES`, with a catalogue."""

    @pytest.fixture(scope="class")
    @classmethod
    def vocabulary(cls, rows: pl.DataFrame, catalogue: pl.DataFrame) -> Vocabulary:
        return Vocabulary.learn(rows, 2, catalogue, with_unsold=FAMILIES[cls.name].knows_unsold)

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        family = FAMILIES[cls.name]
        return family.maker(rows, vocabulary)(family.configs[0])


class TestCategoryPopularity(FamilyContract):
    name = "category_popularity"

    def test_the_users_categories_come_first(self, model: ListModel, few: pl.DataFrame) -> None:
        lists = model.recommend(few.filter(pl.col(t.USER_ID) == "regular"), K)
        assert lists[t.ITEM_ID][:6].str.starts_with("staple-0-").all()
        assert set(lists[t.REASON][:6]) == {"popular in staple-0"}

    def test_what_everybody_is_credited_with_is_no_taste_of_the_user(self, model: ListModel, few: pl.DataFrame) -> None:
        assert isinstance(model.ranker, CategoryPopularityRanker)
        config = model.ranker.config.model_copy(update={"prior_orders": 1e6})
        alike = dataclasses.replace(model, ranker=dataclasses.replace(model.ranker, config=config))
        lists = alike.recommend(few.filter(pl.col(t.USER_ID) == "regular"), K)
        assert set(lists[t.REASON]) == {"popular now"}

    def test_without_purchases_it_is_popularity(self, model: ListModel, few: pl.DataFrame) -> None:
        popular = ListModel("p", PopularityRanker.fit(model.vocabulary, PopularityConfig()), model.vocabulary, "keep")
        cold = few.filter(pl.col(t.USER_ID) == "none")
        lists = [each.recommend(cold, K)[t.ITEM_ID].to_list() for each in (model, popular)]
        assert lists[0] == lists[1]


class TestSegmentPopularity(FamilyContract):
    """Its rows have no attribute: everybody's segment is unknown. What segments do is in test_segment_popularity."""

    name = "segment_popularity"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        taste = pl.col(t.USER_ID).str.slice(5).cast(pl.Int32) % 2
        declared = rows.with_columns(taste.cast(pl.String).alias(t.AGE_BAND))
        return SegmentPopularityRanker.fit(declared, vocabulary, SegmentPopularityConfig(min_users=20))

    def test_unknown_segments_get_popularity(self, model: ListModel, few: pl.DataFrame) -> None:
        popular = ListModel("p", PopularityRanker.fit(model.vocabulary, PopularityConfig()), model.vocabulary, "keep")
        lists = [each.recommend(few, K).select(t.USER_ID, t.ITEM_ID, t.REASON) for each in (model, popular)]
        assert lists[0].equals(lists[1])


class TestRatingFactors(FactorContract):
    """Its rows have no ratings but those it learned from: everybody gets what others rate best."""

    name = "rating_factors"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        return RatingFactorsRanker.fit(rate(rows), vocabulary, RatingFactorsConfig(factors=4, regularization=1.0))

    def test_an_artifact_gives_raters_the_same_lists(
        self, model: ListModel, rows: pl.DataFrame, tmp_path: Path
    ) -> None:
        folder = save_artifact(model, tmp_path / "a", as_of=AS_OF, data_version="events-1", params={})
        lists = load_artifact(folder).recommend(rate(rows), K)
        assert lists.equals(model.recommend(rate(rows), K))
        assert lists[t.REASON].str.starts_with("you may rate it").all()


class TestUserNeighbours(FamilyContract):
    name = "user_neighbours"

    def test_scores_equal_a_slow_reference(self, model: ListModel, rows: pl.DataFrame) -> None:
        histories = read_histories(rows, model.vocabulary)
        baskets = [
            [
                set(histories.line_item[histories.order_start[o] : histories.order_start[o + 1]].tolist())
                for o in range(histories.user_start[user], histories.user_start[user + 1])
            ]
            for user in range(histories.user_count)
        ]
        expected = np.zeros(model.vocabulary.size)
        mine = set().union(*baskets[3])
        for other in baskets:
            ever, last = set().union(*other), other[-10:]
            similarity = len(mine & ever) / (len(mine) ** 0.25 * len(ever) ** 0.75)
            for item in set().union(*last):
                expected[item] += similarity * sum(item in basket for basket in last) / len(last)
        np.testing.assert_allclose(model.ranker.scores(histories)[3], expected, atol=1e-5)

    def test_reasons(self, model: ListModel, few: pl.DataFrame) -> None:
        lists = model.recommend(few.filter(pl.col(t.USER_ID) == "once"), K)
        assert "bought by users like you" in set(lists[t.REASON])

    def test_own_purchases_are_a_reason_where_they_are_in_the_score(self, model: ListModel, rows: pl.DataFrame) -> None:
        assert isinstance(model.ranker, UserNeighboursRanker)
        config = model.ranker.config.model_copy(update={"locality": 50})
        some = slice(0, len(rows) // 2)
        half = UserNeighboursRanker.fit(read_histories(rows[some], model.vocabulary), model.vocabulary, config)
        lists = dataclasses.replace(model, ranker=half).recommend(rows, 1)
        is_own = lists[t.REASON].str.starts_with("bought") & (lists[t.REASON] != "bought by users like you")
        assert is_own[some].all()
        assert not is_own[len(rows) // 2 :].any()


class TestAssociationRules(FamilyContract):
    name = "association_rules"

    def test_rules_equal_counting(self, model: ListModel, rows: pl.DataFrame) -> None:
        assert isinstance(model.ranker, AssociationRulesRanker)
        histories = read_histories(rows, model.vocabulary)
        orders = np.zeros((len(histories.order_user), model.vocabulary.size))
        orders[histories.line_order, histories.line_item] = 1.0
        together, count = orders.T @ orders, orders.sum(axis=0)
        sure = together / (count[:, None] + 10.0)
        is_rule = (together >= 5) & (sure > 1.5 * count / len(orders)) & ~np.eye(len(count), dtype=bool)
        np.testing.assert_allclose(model.ranker.rules.toarray(), np.where(is_rule, sure, 0.0), atol=1e-6)

    def test_the_reason_is_the_surest_rule(self, model: ListModel, few: pl.DataFrame) -> None:
        first = model.recommend(few.filter(pl.col(t.USER_ID) == "once"), 1)
        percent = round(100 * first[t.SCORE][0])
        assert first[t.REASON][0] in {f"{percent}% of orders with {item} have it" for item in ("new-1-2", "staple-0-0")}


class TestContent(FamilyContract):
    name = "content"

    def test_an_item_nobody_bought_is_recommended(self, model: ListModel, few: pl.DataFrame) -> None:
        strict = ListModel(model.name, model.ranker, model.vocabulary, "remove")
        lists = strict.recommend(few.filter(pl.col(t.USER_ID) == "regular"), 20)
        assert lists.filter(pl.col(t.ITEM_ID) == "staple-0-new")[t.REASON].to_list() == ["resembles what you bought"]
        assert lists[t.ITEM_ID][:6].str.starts_with("staple-0-").all()


class TestEase(ModelContract):
    name = "ease"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        config = LinearConfig(regularization=1.0)
        weights = fit_linear(read_histories(rows, vocabulary), vocabulary.size, config)
        return LinearRanker.build(vocabulary, config, weights)

    def test_a_reason_is_an_item_of_the_same_taste(self, model: ListModel, few: pl.DataFrame) -> None:
        lists = model.recommend(few.filter(pl.col(t.USER_ID) == "regular"), K)
        linked = lists.filter(pl.col(t.REASON).str.starts_with("because you bought"))
        assert linked.height >= 5
        assert linked[t.REASON].str.contains("staple-0-1|new-0-3").all()


class TestItemItem(ModelContract):
    name = "item_item"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        config = LinearConfig(learns="alike")
        return LinearRanker.build(
            vocabulary, config, fit_linear(read_histories(rows, vocabulary), vocabulary.size, config)
        )


class TestTransitions(ModelContract):
    name = "transitions"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        config = LinearConfig(learns="next")
        weights = fit_linear(read_histories(rows, vocabulary), vocabulary.size, config)
        return LinearRanker.build(vocabulary, config, weights)


class TestIals(FactorContract):
    name = "ials"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        config = IalsConfig(factors=4)
        factors = fit_ials(read_histories(rows, vocabulary), vocabulary.size, config, 3)
        return IalsRanker.build(vocabulary, config, factors)

    def test_the_taste_is_found(self, model: ListModel, few: pl.DataFrame) -> None:
        lists = model.recommend(few.filter(pl.col(t.USER_ID) == "regular"), K)
        assert lists[t.ITEM_ID].str.contains("-0-").mean() >= 0.9  # type: ignore[operator]
        linked = lists.filter(pl.col(t.REASON).str.starts_with("because you bought"))
        assert linked[t.REASON].str.contains("staple-0-1|new-0-3").all()
        assert linked.height >= 5


class TestSequential(FactorContract):
    name = "sequential"
    encoder: ClassVar[Literal["attention", "gru"]] = "attention"
    members: ClassVar[int] = 1

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        config = SequentialConfig(encoder=cls.encoder, dimensions=16, batch_items=256, learning_rate=0.01)
        sequences = Sequences.of(read_histories(rows, vocabulary))
        networks = [
            fit_sequential(
                sequences, vocabulary.size, config, Training(seed=seed, accelerator="cpu"), folder, epochs=4
            ).network
            for seed in range(3, 3 + cls.members)
        ]
        return SequentialRanker.build(vocabulary, config.model_copy(update={"members": cls.members}), networks)

    def test_the_taste_is_found(self, model: ListModel, few: pl.DataFrame) -> None:
        lists = model.recommend(few.filter(pl.col(t.USER_ID) == "regular"), K)
        assert lists[t.ITEM_ID].str.contains("-0-").all()
        linked = lists.filter(pl.col(t.REASON).str.starts_with("because you bought"))
        assert linked[t.REASON].str.contains("staple-0-1|new-0-3").all()
        assert linked.height >= 5


class TestAveraged(TestSequential):
    members = 2

    def test_scores_are_those_of_the_members_on_average(self, model: ListModel, rows: pl.DataFrame) -> None:
        ranker, histories = model.ranker, read_histories(rows, model.vocabulary)
        assert isinstance(ranker, SequentialRanker)
        each = [dataclasses.replace(ranker, networks=(network,)).scores(histories) for network in ranker.networks]
        assert not np.allclose(*each)
        np.testing.assert_allclose(ranker.scores(histories), np.mean(each, axis=0), atol=1e-4)


class TestGru(TestSequential):
    name = "gru"
    encoder = "gru"


class TestBlend(ModelContract):
    name = "blend"

    @classmethod
    def fit(cls, rows: pl.DataFrame, vocabulary: Vocabulary, folder: Path) -> Ranker:
        sequential = TestSequential.fit(rows, vocabulary, folder)
        families = (TestTransitions, TestItemItem, TestEase, TestIals)
        others = [family.fit(rows, vocabulary, folder) for family in families]
        configs = dict(zip(("follows", "alike", "together", "factors"), (part.config for part in others), strict=True))
        weights = {"follows_weight": 0.25, "alike_weight": 0.125, "together_weight": 0.5, "factors_weight": 0.375}
        config = BlendConfig(sequential=sequential.config, **configs, **weights)  # type: ignore[arg-type]
        return BlendRanker(config, sequential, *others)  # type: ignore[arg-type]

    def test_scores_are_a_weighted_sum(self, model: ListModel, rows: pl.DataFrame) -> None:
        histories, blend = read_histories(rows, model.vocabulary), model.ranker
        assert isinstance(blend, BlendRanker)
        members = (blend.sequential, blend.follows, blend.alike, blend.together, blend.factors)
        parts = [member.scores(histories) for member in members]
        scaled = [(part - part.mean(axis=1)[:, None]) / part.std(axis=1)[:, None] for part in parts]
        expected = scaled[0] + 0.25 * scaled[1] + 0.125 * scaled[2] + 0.5 * scaled[3] + 0.375 * scaled[4]
        np.testing.assert_allclose(blend.scores(histories), expected, atol=1e-4)

    def test_a_reason_is_that_of_the_strongest_part(self, model: ListModel, few: pl.DataFrame) -> None:
        reasons = model.recommend(few.filter(pl.col(t.USER_ID) == "regular"), K)[t.REASON]
        linked = reasons.filter(reasons.str.contains("^because you bought"))
        assert linked.str.contains("staple-0-1|new-0-3").all()
        assert len(linked) >= 5


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EverstayError, match="is not a recommender artifact"):
        load_artifact(tmp_path)


def test_neighbours_equal_a_slow_reference(rows: pl.DataFrame, vocabulary: Vocabulary) -> None:
    histories = read_histories(rows, vocabulary)
    found = find_neighbours(histories, vocabulary.size).toarray()
    orders = np.zeros((len(histories.order_user), vocabulary.size))
    orders[histories.line_order, histories.line_item] = 2.0 ** (-histories.line_days_ago / 728)
    together = orders.T @ orders
    norm = np.sqrt(np.diag(together) + 5.0)
    expected = together / np.outer(norm, norm)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
