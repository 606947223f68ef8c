"""Candidates from rows to report: chosen on validation, refitted as of the test, stored once."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import get_args

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from everstay import tables as t
from everstay.errors import NotReady
from everstay.recommender import (
    BasketRows,
    candidate_key,
    check_rows,
    compare_models,
    evaluate_candidate,
    load_artifact,
    train_candidate,
)
from everstay.recommender.baselines import PersonalFrequencyRanker
from everstay.recommender.blend import BlendRanker
from everstay.recommender.choose import BLEND_WEIGHTS, choose_config, mean_ndcg
from everstay.recommender.config import PersonalFrequencyConfig
from everstay.recommender.model import ListModel
from everstay.recommender.network_config import NetworkConfig
from everstay.recommender.rows import with_targets
from everstay.recommender.sequential import SequentialRanker
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import Promotion, Recommender, RecommenderCandidate, Settings, Training

from .conftest import AS_OF, basket_rows, rate, shop

SETTINGS = Settings(
    recommender=Recommender(min_item_users=2, list_length=5),
    training=Training(max_epochs=2, accelerator="cpu"),
    promotion=Promotion(resamples=100),
)
NAMES = get_args(RecommenderCandidate)


@pytest.fixture(scope="module")
def rows_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    validation = shop(40, 1).with_columns(pl.lit(AS_OF - timedelta(days=28), t.TIME).alias(t.AS_OF))
    declared = pl.lit("young").alias(t.AGE_BAND)  # one candidate looks at it, and one at ratings
    parts = (rate(part.with_columns(declared)) for part in (validation, shop(40, 2)))
    return BasketRows(*parts).write(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def homes(rows_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("candidates")
    return {name: train_candidate(name, rows_folder, SETTINGS, folder, "events-1") for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_reports_are_complete(name: str, homes: dict[str, Path], rows_folder: Path) -> None:
    report = evaluate_candidate(homes[name], rows_folder, SETTINGS)
    assert report.name == name
    assert report.artifact == homes[name] / "artifact"
    assert report.seconds > 0
    for part in ("validation", "test"):
        for metric in ("ndcg", "recall", "mrr", "hit_rate"):
            for suffix in ("", "_repeat", "_explore", "_orders_5_19"):
                interval = report.metrics[f"{part}_{metric}{suffix}"]
                assert 0 <= interval.low <= interval.value <= interval.high <= 1
        assert 0 < report.metrics[f"{part}_coverage"].value <= 1
    assert set(report.figures) == {"recall_by_history.png"}
    assert load_artifact(report.artifact).name == name
    if name == "network":
        assert len(report.curves["train_loss"]) == len(report.curves["validation_loss"]) == 2
        assert report.params["best_epochs"] in (1, 2)
    if name in ("sequential", "blend"):
        assert len(report.curves["train_loss"]) == len(report.curves["validation_ndcg"]) == 2


def test_the_blend_is_made_of_its_parts(homes: dict[str, Path]) -> None:
    blend, network = (load_artifact(homes[name] / "artifact").ranker for name in ("blend", "sequential"))
    assert isinstance(blend, BlendRanker)
    assert isinstance(network, SequentialRanker)
    of_both = (blend.sequential.networks[0].parameters(), network.networks[0].parameters())
    assert all(map(torch.equal, *of_both))
    config = blend.config
    weights = {config.follows_weight, config.alike_weight, config.together_weight, config.factors_weight}
    assert weights <= set(BLEND_WEIGHTS)
    assert (config.follows.learns, config.alike.learns, config.together.learns) == ("next", "alike", "together")


@pytest.mark.parametrize(("least", "dropouts"), [(1e9, (0.3, 0.5)), (0.0, (0.2, 0.2))])
def test_dropout_follows_density(
    least: float, dropouts: tuple[float, float], rows_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everstay.recommender.network_config._DENSE", least)
    home = train_candidate("sequential", rows_folder, SETTINGS, tmp_path, "events-1")
    for part in ("artifact", "early"):
        ranker = load_artifact(home / part).ranker
        assert isinstance(ranker, SequentialRanker)
        assert (ranker.config.dropout, ranker.config.input_dropout) == dropouts
    params = evaluate_candidate(home, rows_folder, SETTINGS).params
    assert (params["dropout"], params["input_dropout"]) == dropouts


def test_members_have_seeds_of_their_own(homes: dict[str, Path], rows_folder: Path, tmp_path: Path) -> None:
    several = SETTINGS.model_copy(update={"recommender": SETTINGS.recommender.model_copy(update={"members": 2})})
    home = train_candidate("sequential", rows_folder, several, tmp_path, "events-1")
    for part in ("early", "artifact"):
        ranker, alone = (load_artifact(place / part).ranker for place in (home, homes["sequential"]))
        assert isinstance(ranker, SequentialRanker)
        assert isinstance(alone, SequentialRanker)
        first, second = (network.embedding.weight for network in ranker.networks)
        assert torch.equal(first, alone.networks[0].embedding.weight)
        assert not torch.equal(first, second)
    blend = load_artifact(train_candidate("blend", rows_folder, several, tmp_path, "events-1") / "artifact").ranker
    assert isinstance(blend, BlendRanker)
    weights = [[network.embedding.weight for network in one.networks] for one in (blend.sequential, ranker)]
    assert all(map(torch.equal, *weights))
    params = evaluate_candidate(home, rows_folder, several).params
    assert params["members"] == 2
    assert len(str(params["best_epochs"]).split(", ")) == 2


def test_members_train_anew_only_what_has_them() -> None:
    several = SETTINGS.model_copy(update={"recommender": SETTINGS.recommender.model_copy(update={"members": 2})})
    names = ("popularity", "ease", "network", "sequential", "gru", "blend")
    keys = {name: {candidate_key(name, one, "events-1") for one in (SETTINGS, several)} for name in names}
    assert [name for name in names if len(keys[name]) == 2] == ["sequential", "gru", "blend"]


def test_a_single_network_of_before_there_were_members_is_read(homes: dict[str, Path], tmp_path: Path) -> None:
    artifact = homes["sequential"] / "artifact"
    before = shutil.copytree(artifact, tmp_path / "artifact")
    (file,) = before.glob("*.safetensors")
    save_file({name.removeprefix("0."): value for name, value in load_file(file).items()}, file)
    found = [load_artifact(folder).ranker for folder in (artifact, before)]
    now, then = (one.networks[0].state_dict() for one in found if isinstance(one, SequentialRanker))
    assert all(torch.equal(now[name], value) for name, value in then.items())


def test_no_single_weight_of_the_blend_is_better_on_validation(homes: dict[str, Path], rows_folder: Path) -> None:
    early, asked = load_artifact(homes["blend"] / "early"), with_targets(BasketRows.read(rows_folder).validation)
    blend, k = early.ranker, SETTINGS.recommender.list_length
    assert isinstance(blend, BlendRanker)

    def ndcg(**weights: float) -> float:
        varied = replace(blend, config=blend.config.model_copy(update=weights))
        return mean_ndcg(replace(early, ranker=varied), asked, k)

    for name in ("follows_weight", "alike_weight", "together_weight", "factors_weight"):
        assert all(ndcg(**{name: weight}) <= ndcg() for weight in BLEND_WEIGHTS)


@pytest.mark.parametrize("name", ["personal_frequency", "network"])
def test_habits_beat_popularity(name: str, homes: dict[str, Path], rows_folder: Path) -> None:
    challenger, rival = homes[name] / "artifact", homes["popularity"] / "artifact"
    assert compare_models(challenger, rival, rows_folder, SETTINGS).low > 0
    same = compare_models(rival, rival, rows_folder, SETTINGS)
    assert same.low == same.value == same.high == 0


def test_models_of_two_policies_are_compared_under_that_of_the_settings(
    homes: dict[str, Path], rows_folder: Path, tmp_path: Path
) -> None:
    keeps = homes["popularity"] / "artifact"
    removes = shutil.copytree(keeps, tmp_path / "removes")
    card = json.loads((removes / "artifact.json").read_text())
    (removes / "artifact.json").write_text(json.dumps({**card, "already_bought": "remove"}))
    same = compare_models(keeps, removes, rows_folder, SETTINGS)
    assert same.low == same.value == same.high == 0
    other = SETTINGS.model_copy(update={"recommender": Recommender(list_length=5, already_bought="remove")})
    personal = homes["personal_frequency"] / "artifact"
    kept, removed = (compare_models(personal, keeps, rows_folder, settings).value for settings in (SETTINGS, other))
    assert kept > removed  # habits are worth less where nothing may come again


def test_what_is_stored_is_not_trained_again(homes: dict[str, Path], rows_folder: Path) -> None:
    home = homes["network"]
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    assert train_candidate("network", rows_folder, SETTINGS, home.parent, "events-1") == home
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    assert sorted(path.name for path in home.parent.iterdir()) == sorted(homes)  # no checkpoint is left


def test_training_again_gives_the_same_weights(homes: dict[str, Path], rows_folder: Path, tmp_path: Path) -> None:
    again = train_candidate("network", rows_folder, SETTINGS, tmp_path, "events-1")
    weights = "artifact/weights.safetensors"
    assert (again / weights).read_bytes() == (homes["network"] / weights).read_bytes()


def test_the_key_names_what_matters() -> None:
    key = candidate_key("network", SETTINGS, "events-1")
    other = SETTINGS.model_copy(update={"recommender": Recommender(min_item_users=3)})
    faster = SETTINGS.model_copy(update={"training": SETTINGS.training.model_copy(update={"devices": "auto"})})
    assert candidate_key("network", other, "events-1") != key
    assert candidate_key("network", SETTINGS, "events-2") != key
    assert candidate_key("popularity", SETTINGS, "events-1") != key
    assert candidate_key("network", faster, "events-1") == key


def test_the_validation_chooses(rows_folder: Path) -> None:
    """Everybody goes back to what they bought long ago, so that a long memory is right."""
    orders = {f"u{n}": [(200.0, ["old"]), (190.0, ["old"]), (2.0, [f"new-{n % 3}"])] for n in range(9)}
    rows = basket_rows(orders, {user: ["old"] for user in orders})
    vocabulary = Vocabulary.learn(rows, 1)

    def make(config: PersonalFrequencyConfig) -> ListModel:
        return ListModel("x", PersonalFrequencyRanker.fit(vocabulary, config), vocabulary, "keep")

    configs = [PersonalFrequencyConfig(half_life_days=days, prior_orders=0.0) for days in (10.0, 50.0, 900.0)]
    assert choose_config(configs, make, rows, 1) == (configs[2], 1.0)


def test_rows_without_baskets_are_refused(tmp_path: Path) -> None:
    rows = shop(6, 1)
    nothing = rows.with_columns(pl.lit(None, pl.List(pl.String)).alias("target_item"))
    with pytest.raises(NotReady, match="no next basket after 2024-06-01"):
        BasketRows(rows, nothing).check()
    with pytest.raises(NotReady, match="validation"):
        BasketRows(rows.clear(), rows).check()


def test_single_orders_teach_the_network_nothing(tmp_path: Path) -> None:
    rows = basket_rows({f"u{n}": [(400.0, ["x", "y"])] for n in range(5)}, {f"u{n}": ["x"] for n in range(5)})
    folder = BasketRows(rows, rows).write(tmp_path / "rows")
    with pytest.raises(NotReady, match="nothing to learn"):
        train_candidate("network", folder, SETTINGS, tmp_path, "events-1")


def test_attention_heads_divide() -> None:
    with pytest.raises(ValueError, match="heads must divide"):
        NetworkConfig(dimensions=10, heads=3)


def test_rows_without_an_item_that_enough_users_bought_are_refused_before_a_training(rows_folder: Path):
    check_rows(rows_folder, SETTINGS)
    most = SETTINGS.model_copy(update={"recommender": Recommender(min_item_users=41)})  # of 40 users
    with pytest.raises(NotReady, match=r"no item was bought by 41 users: lower recommender\.min_item_users"):
        check_rows(rows_folder, most)
