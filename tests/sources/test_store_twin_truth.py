"""The store twin's truth is what its events follow: each planted effect is found again in the events."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin import StoreTwin
from everstay.sources.store_twin import truth as truths
from everstay.sources.store_twin.intensity import (
    BROWSING_PER_ORDER,
    COUPON_DAYS,
    WEEKDAY_FACTORS,
    Intensity,
    compute_intensity,
)
from everstay.sources.store_twin.lines import TRANSITION_SHARE
from everstay.sources.store_twin.reader import read_visits
from everstay.sources.store_twin.truth import StoreTruth
from everstay.sources.store_twin.users import (
    AGE_BANDS,
    CLOCK_START,
    COUPON_ARM,
    MEAN_PURCHASE_RATE,
    RATE_SHAPE,
    draw_users,
)

SETTINGS = StoreTwinSource(users=3_000, items=80, days=280, seed=11)
AS_OFS = [CLOCK_START + timedelta(days=days) for days in (85, 150, 215)]
HORIZON = 28


@pytest.fixture(scope="module")
def truth() -> StoreTruth:
    return StoreTwin(SETTINGS).truth()


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    wanted = pl.col(t.EVENT_TYPE).is_in([t.PURCHASE, t.RETURN])
    frames = [frame.filter(wanted) for chunk in StoreTwin(SETTINGS).event_chunks() for frame in chunk.read()]
    return pl.concat(frames)


@pytest.fixture(scope="module")
def purchases(events: pl.DataFrame) -> pl.DataFrame:
    """Purchase lines in the order in which they were chosen."""
    return events.filter(pl.col(t.EVENT_TYPE) == t.PURCHASE).sort(t.EVENT_ID)


@pytest.fixture(scope="module")
def orders(purchases: pl.DataFrame) -> pl.DataFrame:
    return purchases.unique(t.ORDER_ID, keep="first", maintain_order=True)


@pytest.fixture(scope="module")
def kept_orders(events: pl.DataFrame, orders: pl.DataFrame) -> pl.DataFrame:
    """Orders that were not wholly returned."""
    lines = events.group_by(t.ORDER_ID).agg((pl.col(t.EVENT_TYPE) == t.RETURN).mean() == 0.5)
    return orders.join(lines.filter(t.EVENT_TYPE).select(t.ORDER_ID), on=t.ORDER_ID, how="anti")


def buyers(orders: pl.DataFrame, start: datetime, days: int) -> pl.Series:
    window = orders.filter(pl.col(t.OCCURRED_AT).is_between(start, start + timedelta(days=days), closed="left"))
    return window[t.USER_ID].unique()


Labels = tuple[np.ndarray, np.ndarray]


def probabilities_and_labels(
    churn_probability: Callable[..., pl.DataFrame],
    kept_orders: pl.DataFrame,
    gap_days: int = 0,
    as_ofs: Sequence[datetime] = AS_OFS,
) -> Labels:
    probabilities, labels = [], []
    for as_of in as_ofs:
        table = churn_probability(as_of, horizon_days=HORIZON, gap_days=gap_days)
        bought = buyers(kept_orders, as_of + timedelta(days=gap_days), HORIZON)
        probabilities.append(table[t.CHURN_PROBABILITY].to_numpy())
        labels.append(~table[t.USER_ID].is_in(bought.implode()).to_numpy())
    return np.concatenate(probabilities), np.concatenate(labels)


def assert_calibrated_in_every_decile(probability: np.ndarray, has_churned: np.ndarray) -> None:
    for decile in np.array_split(np.argsort(probability), 10):
        expected = probability[decile]
        spread = np.sqrt((expected * (1 - expected)).sum()) / len(decile)
        assert abs(has_churned[decile].mean() - expected.mean()) < 4 * spread


@pytest.mark.parametrize("gap_days", [0, 7])
def test_churn_probability_is_calibrated(truth: StoreTruth, kept_orders: pl.DataFrame, gap_days: int) -> None:
    probability, has_churned = probabilities_and_labels(truth.churn_probability, kept_orders, gap_days)
    has_left = probability == 1
    assert has_churned[has_left].all()
    assert 0.1 < has_left.mean() < 0.6
    assert_calibrated_in_every_decile(probability[~has_left], has_churned[~has_left])


def test_visible_churn_probability_is_calibrated_and_knows_less(truth: StoreTruth, kept_orders: pl.DataFrame) -> None:
    visible, has_churned = probabilities_and_labels(truth.visible_churn_probability, kept_orders)
    hidden, _ = probabilities_and_labels(truth.churn_probability, kept_orders)
    assert_calibrated_in_every_decile(visible, has_churned)
    assert np.mean((visible - has_churned) ** 2) > np.mean((hidden - has_churned) ** 2)
    assert visible.mean() == pytest.approx(hidden.mean(), abs=0.02)


def test_the_best_reader_is_calibrated_and_knows_less_again(truth: StoreTruth, kept_orders: pl.DataFrame) -> None:
    readable, has_churned = probabilities_and_labels(truth.readable_churn_probability, kept_orders, as_ofs=AS_OFS[:1])
    visible, _ = probabilities_and_labels(truth.visible_churn_probability, kept_orders, as_ofs=AS_OFS[:1])
    assert_calibrated_in_every_decile(readable, has_churned)
    assert np.mean((readable - has_churned) ** 2) > np.mean((visible - has_churned) ** 2)
    assert readable.mean() == pytest.approx(visible.mean(), abs=0.02)


def test_the_best_readers_guess_of_a_rate_is_the_gamma_posteriors() -> None:
    users, day = draw_users(SETTINGS, 0).head(4), 50
    days = np.ones((4, SETTINGS.days))
    nobody_leaves = Intensity(-days.astype(int), days * users.rate[:, None], 0 * days, np.full(4, SETTINGS.days))
    visits, last = np.array([1, 2, 5, 20]), np.array([10, 30, 45, 49])
    rates = read_visits(users, nobody_leaves, visits, last, day, lambda imagined, _: imagined.order_rate[:, 0])
    shape, per_day = RATE_SHAPE, RATE_SHAPE / MEAN_PURCHASE_RATE
    posterior = (shape + visits) / (per_day + day * (1 + BROWSING_PER_ORDER))
    np.testing.assert_allclose(rates, posterior, rtol=0.03)


def test_churn_probability_equals_a_loop_over_the_days() -> None:
    intensity = _intensity(0)
    fast = intensity.no_order_probability(day=60, gap_days=3, horizon_days=20, counted_share=0.9)

    def slow(user: int) -> float:
        here, gone = 1.0, 0.0  # no counted order so far, and still a user, or not
        for day in range(60, 83):
            stays = np.exp(-intensity.hazard[user, day])
            here, gone = here * stays, gone + here * (1 - stays)
            here *= 1 if day < 63 else np.exp(-0.9 * intensity.order_rate[user, day])
        return here + gone

    np.testing.assert_allclose(fast, [slow(user) for user in range(len(fast))], rtol=1e-10)


def test_a_user_seen_yesterday_is_active_and_silence_raises_doubt() -> None:
    intensity = _intensity(0)
    seen = [intensity.active_probability(100, np.full(len(intensity.leave_day), day)) for day in (99, 80, 20)]
    here = intensity.order_rate[:, 20] > 0  # has joined by then
    assert (seen[0] == 1).all()
    assert (seen[0][here] > seen[1][here]).all()
    assert (seen[1][here] > seen[2][here]).all()
    assert (intensity.active_probability(0, np.full(len(here), -1)) == 1).all()


def test_users_who_have_not_joined_have_no_probability(truth: StoreTruth) -> None:
    joined = truth.users().filter(pl.col(t.JOINED_AT) < AS_OFS[0])
    table = truth.churn_probability(AS_OFS[0], horizon_days=HORIZON)
    assert set(table[t.USER_ID]) == set(joined[t.USER_ID])
    assert 0 < table.height < SETTINGS.users


@pytest.mark.parametrize(
    ("as_of", "words"),
    [
        (CLOCK_START + timedelta(hours=1), "is not a midnight"),
        (CLOCK_START - timedelta(days=1), "is not a midnight"),
        (CLOCK_START + timedelta(days=SETTINGS.days - HORIZON + 1), "ends after the clock"),
    ],
)
def test_windows_outside_the_clock_are_refused(truth: StoreTruth, as_of: datetime, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        truth.churn_probability(as_of, horizon_days=HORIZON)


def test_orders_follow_the_rate_the_season_and_the_stay(truth: StoreTruth, orders: pl.DataFrame) -> None:
    users = truth.users()
    counts = users.join(orders.group_by(t.USER_ID).len(), on=t.USER_ID, how="left", maintain_order="left")
    observed = counts["len"].fill_null(0).to_numpy()
    expected = np.concatenate([_intensity(block).active_order_rate().sum(axis=1) for block in range(12)])
    assert np.corrcoef(users[truths.PURCHASE_RATE], observed)[0, 1] > 0.5
    for decile in np.array_split(np.argsort(expected), 10)[1:]:
        assert abs(observed[decile].sum() - expected[decile].sum()) < 4 * np.sqrt(expected[decile].sum())


def _intensity(block: int) -> Intensity:
    return compute_intensity(SETTINGS, draw_users(SETTINGS, block))


def test_heterogeneity_has_the_stated_means(truth: StoreTruth) -> None:
    users = truth.users()
    assert users[truths.PURCHASE_RATE].mean() == pytest.approx(0.085, rel=0.06)
    assert users[truths.LEAVE_HAZARD].mean() == pytest.approx(0.004, rel=0.07)
    left = users[truths.LEFT_AT].count() / users.height
    assert 0.3 < left < 0.7


def test_weekdays_have_their_shares(orders: pl.DataFrame) -> None:
    shares = orders.group_by(pl.col(t.OCCURRED_AT).dt.weekday().alias("day")).len().sort("day")["len"].to_numpy()
    np.testing.assert_allclose(shares / shares.mean(), np.array(WEEKDAY_FACTORS) / np.mean(WEEKDAY_FACTORS), rtol=0.06)


def test_propensities_are_the_shares_of_the_arms() -> None:
    treatments = StoreTwin(SETTINGS).treatments().with_columns((pl.col(t.ARM) == COUPON_ARM).alias(t.ARM))
    campaigns = treatments.group_by(t.CAMPAIGN_ID).agg(pl.col(t.ARM).mean(), pl.col(t.PROPENSITY).unique(), pl.len())
    for _, share, (propensity,), count in campaigns.rows():
        assert abs(share - propensity) < 4 * np.sqrt(0.25 / count)


def test_the_randomised_campaigns_recover_the_coupon_response_by_age(truth: StoreTruth, orders: pl.DataFrame) -> None:
    treatments = StoreTwin(SETTINGS).treatments().join(truth.users(), on=t.USER_ID)
    is_active = pl.col(truths.LEFT_AT).is_null() | (pl.col(truths.LEFT_AT) > pl.col(t.ASSIGNED_AT))
    treatments = treatments.filter(is_active).join(
        StoreTwin(SETTINGS).users().select(t.USER_ID, t.AGE_BAND), on=t.USER_ID
    )
    effect_start = pl.col(t.ASSIGNED_AT) + timedelta(days=1)
    in_effect = pl.col(t.OCCURRED_AT).is_between(effect_start, effect_start + timedelta(days=COUPON_DAYS))
    followed = treatments.join(orders.select(t.USER_ID, t.OCCURRED_AT), on=t.USER_ID).filter(in_effect)
    keys = [t.AGE_BAND, t.PROPENSITY, t.ARM]
    rates = treatments.group_by(keys).len("users").join(followed.group_by(keys).len("orders"), on=keys)
    arms = rates.with_columns(rate=pl.col("orders") / pl.col("users")).pivot(
        t.ARM, index=keys[:2], values=["rate", "orders"]
    )
    arms = arms.with_columns(
        ratio=(pl.col("rate_coupon") / pl.col("rate_control")).log(),
        weight=1 / (1 / pl.col("orders_coupon") + 1 / pl.col("orders_control")),
    )
    ratio = arms.group_by(t.AGE_BAND).agg((pl.col("ratio") * pl.col("weight")).sum() / pl.col("weight").sum())
    true = treatments.group_by(t.AGE_BAND).agg(
        (pl.col(truths.COUPON_RATE_FACTOR) * pl.col(truths.PURCHASE_RATE)).sum().log()
        - pl.col(truths.PURCHASE_RATE).sum().log()
    )
    found = dict(ratio.rows())
    for age_band, effect in true.rows():
        assert found[age_band] == pytest.approx(effect, abs=0.15)
    assert found[AGE_BANDS[0]] > 0.4
    assert found[AGE_BANDS[-1]] < 0


def test_the_most_frequent_successor_is_the_planted_one(truth: StoreTruth, purchases: pl.DataFrame) -> None:
    transitions = truth.transitions()
    np.testing.assert_allclose(transitions.sum(axis=1), 1)
    number = purchases[t.ITEM_ID].str.slice(1).cast(pl.Int64).to_numpy()
    is_pair = (purchases[t.ORDER_ID] == purchases[t.ORDER_ID].shift(1)).fill_null(value=False).to_numpy()
    pairs = np.zeros_like(transitions)
    np.add.at(pairs, (np.roll(number, 1)[is_pair], number[is_pair]), 1)
    lift = pairs / pairs.sum(axis=1, keepdims=True) - number_shares(number, len(pairs))
    assert (lift.argmax(axis=1) == transitions.argmax(axis=1)).mean() > 0.95
    direct = (pairs * (transitions >= 0.59)).sum() / pairs.sum()
    assert direct == pytest.approx(TRANSITION_SHARE * 0.6, abs=0.06)


def number_shares(number: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(number, minlength=count) / len(number)


def test_next_item_probability_is_calibrated(truth: StoreTruth, orders: pl.DataFrame) -> None:
    promised, hits, popular = [], [], []
    for as_of in AS_OFS:
        users, probability = truth.next_item_probability(as_of)
        np.testing.assert_allclose(probability.sum(axis=1), 1)
        soon = pl.col(t.OCCURRED_AT).is_between(as_of, as_of + timedelta(days=HORIZON))
        first = orders.filter(soon).sort(t.OCCURRED_AT).unique(t.USER_ID, keep="first", maintain_order=True)
        row = pl.DataFrame({t.USER_ID: users}).with_row_index().join(first, on=t.USER_ID, maintain_order="left")
        chosen = row[t.ITEM_ID].str.slice(1).cast(pl.Int64).to_numpy()
        known = probability[row["index"].to_numpy()]
        promised.append(np.sort(known, axis=1)[:, -5:].sum(axis=1))
        hits.append((np.argsort(known, axis=1)[:, -5:] == chosen[:, None]).any(axis=1))
        popular.append(np.isin(chosen, np.argsort(np.bincount(chosen))[-5:]))
    promise, hit = np.concatenate(promised), np.concatenate(hits)
    assert hit.mean() == pytest.approx(promise.mean(), abs=0.03)
    assert hit.mean() > 1.5 * np.concatenate(popular).mean()


def test_top_items_are_the_most_probable_ones(truth: StoreTruth) -> None:
    users, probability = truth.next_item_probability(AS_OFS[0])
    top = truth.top_items(AS_OFS[0], 3)
    assert top.height == 3 * len(users)
    assert top.filter(pl.col(t.USER_ID) == users[5])[t.RANK].to_list() == [1, 2, 3]
    np.testing.assert_array_equal(top[t.SCORE].to_numpy().reshape(-1, 3), -np.sort(-probability, axis=1)[:, :3])


def test_tastes_are_shares_that_purchases_follow(truth: StoreTruth, purchases: pl.DataFrame) -> None:
    users = truth.users()
    mean = (np.array(users[truths.TASTE_START].to_list()) + np.array(users[truths.TASTE_END].to_list())) / 2
    np.testing.assert_allclose(mean.sum(axis=1), 1)
    categories = StoreTwin(SETTINGS).items().select(t.ITEM_ID, t.CATEGORY)
    names = categories[t.CATEGORY].unique(maintain_order=True).to_list()
    counts = purchases.join(categories, on=t.ITEM_ID).pivot(
        t.CATEGORY, index=t.USER_ID, values=t.ITEM_ID, aggregate_function="len"
    )
    counts = users.select(t.USER_ID).join(counts, on=t.USER_ID, maintain_order="left").fill_null(0)
    total = counts.select(names).sum_horizontal().to_numpy()
    often = total >= 60
    known = users[t.USER_ID].is_in(counts[t.USER_ID].implode()).to_numpy()
    observed = counts.select(names).to_numpy()[often] / total[often, None]
    assert np.corrcoef(observed.ravel(), mean[known][often].ravel())[0, 1] > 0.7


def test_repeaters_repeat(truth: StoreTruth, purchases: pl.DataFrame) -> None:
    is_repeat = pl.struct(t.USER_ID, t.ITEM_ID).is_first_distinct().not_().alias("is_repeat")
    repeated = purchases.select(t.USER_ID, is_repeat).group_by(t.USER_ID).agg(pl.col("is_repeat").mean(), pl.len())
    table = repeated.filter(pl.col("len") >= 30).join(truth.users(), on=t.USER_ID)
    assert table.select(pl.corr("is_repeat", truths.REPEAT_SHARE)).item() > 0.4
