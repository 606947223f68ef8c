"""Bootstrap intervals: coverage, exact zeros, seeds, pairing, and the same whatever the chunk size."""

import numpy as np
import pytest

from everstay.metrics import comparison
from everstay.metrics.classification import average_precision, brier, roc_auc
from everstay.metrics.comparison import (
    Interval,
    mean_interval,
    paired_mean_difference,
    paired_statistic_difference,
    statistic_interval,
)

ASK = {"resamples": 400, "confidence": 0.9, "seed": 3}


def predictions(n=600, seed=4, noise=0.3):
    generator = np.random.default_rng(seed)
    truth = generator.random(n)
    y = (generator.random(n) < truth).astype(int)
    return y, truth, np.clip(truth + generator.normal(0, noise, n), 0, 1)


def test_interval_holds_the_true_mean_about_as_often_as_promised():
    generator = np.random.default_rng(8)
    samples = generator.exponential(2.0, size=(300, 120))
    intervals = [mean_interval(row, **ASK) for row in samples]
    share = np.mean([interval.low <= 2.0 <= interval.high for interval in intervals])
    assert 0.84 <= share <= 0.95


def test_interval_of_a_mean_is_that_of_the_normal_approximation():
    values = np.random.default_rng(9).normal(5, 2, 2_000)
    interval = mean_interval(values, resamples=4_000, confidence=0.95, seed=1)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.value == values.mean()
    assert interval.low == pytest.approx(values.mean() - half, abs=0.006)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.006)


def test_a_statistic_that_is_a_mean_has_the_interval_of_the_mean():
    y, p, _ = predictions()
    interval, mean = statistic_interval(brier, y, p, **ASK), mean_interval((y - p) ** 2, **ASK)
    assert (interval.value, interval.low, interval.high) == pytest.approx((mean.value, mean.low, mean.high))


def test_identical_models_differ_by_exactly_nothing():
    y, p, _ = predictions()
    nothing = Interval(0.0, 0.0, 0.0)
    assert paired_mean_difference(p, p, **ASK) == nothing
    for statistic in (roc_auc, average_precision, brier):
        assert paired_statistic_difference(statistic, y, p, p.copy(), **ASK) == nothing


def test_the_better_model_is_better_and_the_sign_turns_with_the_roles():
    y, good, bad = predictions()
    ours = paired_statistic_difference(roc_auc, y, good, bad, **ASK)
    theirs = paired_statistic_difference(roc_auc, y, bad, good, **ASK)
    assert ours.low > 0
    assert (ours.value, ours.low, ours.high) == pytest.approx((-theirs.value, -theirs.high, -theirs.low))


def test_pairing_is_narrower_than_two_intervals():
    y, good, bad = predictions(noise=0.05)
    pair = paired_statistic_difference(roc_auc, y, good, bad, **ASK)
    alone = statistic_interval(roc_auc, y, good, **ASK)
    assert pair.high - pair.low < (alone.high - alone.low) / 2


def test_a_slow_bootstrap_of_repeated_rows_gives_the_same_bounds():
    y, p, _ = predictions(n=80)
    drawn = [weights for chunk in comparison._resamples(80, 200, 3) for weights in chunk.astype(int)]
    values = [float(roc_auc(np.repeat(y, times), np.repeat(p, times))) for times in drawn]
    interval = statistic_interval(roc_auc, y, p, resamples=200, confidence=0.8, seed=3)
    assert (interval.low, interval.high) == pytest.approx(np.quantile(values, [0.1, 0.9]))


def test_rows_of_one_user_are_drawn_together():
    y, p, _ = predictions(n=80)
    once = statistic_interval(roc_auc, y, p, **ASK)
    users = np.arange(80)
    thrice = statistic_interval(roc_auc, np.tile(y, 3), np.tile(p, 3), users=np.tile(users, 3), **ASK)
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx((once.value, once.low, once.high))
    apart = statistic_interval(roc_auc, np.tile(y, 3), np.tile(p, 3), **ASK)
    assert apart.high - apart.low < 0.8 * (once.high - once.low)


def test_rows_of_one_user_are_drawn_together_in_differences_too():
    y, good, bad = predictions(n=80)
    once = paired_statistic_difference(roc_auc, y, good, bad, **ASK)
    rows = [np.tile(each, 3) for each in (y, good, bad)]
    thrice = paired_statistic_difference(roc_auc, *rows, users=np.tile(np.arange(80), 3), **ASK)
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx((once.value, once.low, once.high))
    apart = paired_statistic_difference(roc_auc, *rows, **ASK)
    assert apart.high - apart.low < 0.8 * (once.high - once.low)


def test_many_rows_of_few_users_are_weighted_in_small_chunks(monkeypatch):
    monkeypatch.setattr(comparison, "_CELLS", 1_000)
    chunks = list(comparison._row_resamples(np.arange(400) % 4, 50, 1))
    assert {chunk.shape for chunk in chunks} == {(2, 400)}
    whole = np.concatenate(list(comparison._resamples(4, 50, 1)))
    np.testing.assert_array_equal(np.concatenate(chunks), np.tile(whole, 100))


def test_every_resample_draws_as_many_users_as_there_are():
    chunks = list(comparison._resamples(7, 50, 1))
    assert (np.concatenate(chunks).sum(axis=1) == 7).all()
    assert sum(len(chunk) for chunk in chunks) == 50


def test_chunks_do_not_show(monkeypatch):
    values = np.random.default_rng(1).random(50)
    whole = mean_interval(values, **ASK)
    monkeypatch.setattr(comparison, "_CELLS", 3 * 50)
    in_parts = mean_interval(values, **ASK)
    assert (in_parts.low, in_parts.high) == pytest.approx((whole.low, whole.high), rel=1e-12)


def test_seed_and_confidence_matter():
    values = np.random.default_rng(1).random(50)
    assert mean_interval(values, **ASK) == mean_interval(values, **ASK)
    assert mean_interval(values, **ASK) != mean_interval(values, **{**ASK, "seed": 4})
    wide, narrow = mean_interval(values, **{**ASK, "confidence": 0.99}), mean_interval(values, **ASK)
    assert wide.low < narrow.low <= narrow.value <= narrow.high < wide.high


def test_resamples_without_a_class_are_left_out_and_one_class_has_no_interval():
    rare = statistic_interval(roc_auc, [1, 0, 0, 0, 0], [0.5, 0.4, 0.6, 0.1, 0.2], **ASK)
    assert 0 <= rare.low <= rare.value == 0.75 <= rare.high <= 1
    assert np.isnan(statistic_interval(roc_auc, [0, 0], [0.1, 0.2], **ASK).high)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0], [2.0]]])
def test_values_without_sense_are_refused(values):
    with pytest.raises(ValueError, match="one finite value per user"):
        mean_interval(values, **ASK)


def test_other_users_are_refused():
    with pytest.raises(ValueError, match="not the same users"):
        paired_mean_difference([1.0], [1.0, 2.0], **ASK)
