"""Questions: asked of the past only, with the next order as answer, drawn anew each epoch, without padding waste."""

import numpy as np
import polars as pl
import pytest

from everstay.recommender.batches import Asked, BasketBatches, Questioner, answerable, orders_before
from everstay.recommender.histories import Histories, read_histories
from everstay.recommender.network_config import NetworkConfig
from everstay.recommender.repeats import track_repeats
from everstay.recommender.trends import TREND_WEEKS, log_share, weekly_trends
from everstay.recommender.vocabulary import Vocabulary

from .conftest import Order, basket_rows

CONFIG = NetworkConfig(batch_users=8, questions_per_user=3, max_orders=6)


@pytest.fixture
def histories(rows: pl.DataFrame, vocabulary: Vocabulary) -> Histories:
    return read_histories(rows, vocabulary)


@pytest.fixture
def batches(histories: Histories, vocabulary: Vocabulary) -> BasketBatches:
    trends = weekly_trends(histories, vocabulary.size, 8)
    return BasketBatches(Questioner(histories, track_repeats(histories), trends, 6), CONFIG, 28, seed=4)


def test_orders_before_equals_a_loop(histories: Histories) -> None:
    for days in (0.0, 7.0, 20.5, 300.0):
        found = orders_before(histories, np.arange(histories.user_count), np.full(histories.user_count, days))
        for user in range(histories.user_count):
            mine = range(histories.user_start[user], histories.user_start[user + 1])
            before = [order for order in mine if histories.order_days_ago[order] > days]
            assert found[user] - histories.user_start[user] == len(before)


def test_questions_are_asked_between_what_is_seen_and_the_answer(batches: BasketBatches, histories: Histories) -> None:
    asked = batches.draw(batches.users, np.random.default_rng(1))
    assert len(asked.user) > len(batches.users)
    waiting = asked.days_ago - histories.order_days_ago[asked.seen_until]
    assert ((waiting >= 0) & (waiting < 28)).all()
    has_seen = asked.seen_until > histories.user_start[asked.user]
    assert (histories.order_days_ago[asked.seen_until - 1] > asked.days_ago)[has_seen].all()
    assert len(set(zip(asked.user.tolist(), asked.week.tolist(), strict=True))) == len(asked.user)


def test_answers_after_the_horizon_do_not_count(histories: Histories) -> None:
    users = np.arange(histories.user_count)
    early = Asked(users, histories.user_start[:-1], np.full(len(users), 60))
    assert len(answerable(histories, early, 28, 6).user) == 0


def test_a_batch_holds_the_next_baskets(batches: BasketBatches, histories: Histories) -> None:
    order_items = [set(part.tolist()) for part in np.split(histories.line_item, histories.order_start[1:-1])]
    seen = 0
    for batch in batches:
        count = len(batch.questions.user)
        baskets = [set(batch.target_item[batch.target_question == q].tolist()) for q in range(count)]
        assert all(basket in order_items for basket in baskets)
        own = batch.target_own >= 0
        assert (batch.questions.own_item[batch.target_own[own]] == batch.target_item[own]).all()
        assert (batch.questions.own_question[batch.target_own[own]] == batch.target_question[own]).all()
        assert int(batch.questions.place.max()) <= 6
        seen += count
    assert seen > 100


def test_epochs_differ_and_repeat(batches: BasketBatches) -> None:
    def epoch(number: int) -> list[list[int]]:
        batches.set_epoch(number)
        return [batch.target_item.tolist() for batch in batches]

    first = epoch(0)
    assert epoch(1) != first
    assert epoch(0) == first


def test_users_with_similar_histories_are_together(batches: BasketBatches) -> None:
    places = [(int(batch.questions.lengths.max()) * len(batch.questions.lengths), int(batch.questions.lengths.sum()))
              for batch in batches]  # fmt: skip
    assert sum(used for _, used in places) > 0.75 * sum(laid_out for laid_out, _ in places)


def shop_of(orders: dict[str, list[Order]], weeks: int) -> BasketBatches:
    rows = basket_rows(orders)
    vocabulary = Vocabulary.learn(rows, 1)
    histories = read_histories(rows, vocabulary)
    trends = weekly_trends(histories, vocabulary.size, weeks)
    return BasketBatches(Questioner(histories, track_repeats(histories), trends, 6), CONFIG, 28, seed=4)


def test_an_epoch_has_as_many_batches_as_promised_though_most_users_bought_once_and_long_ago() -> None:
    once = {f"once-{n}": [(400.0 + n, ["a"])] for n in range(60)}  # before all weeks at which is asked
    weekly = {f"weekly-{n}": [(7.0 * order + 3.0, ["a", "b"]) for order in range(30, -1, -1)] for n in range(4)}
    batches = shop_of(once | weekly, 40)
    for epoch in range(5):
        batches.set_epoch(epoch)
        asked = [batch.target_item.tolist() for batch in batches]
        assert len(asked) == len(batches) == 8
        assert all(asked)
        assert asked == [batch.target_item.tolist() for batch in batches]


def test_where_no_drawn_question_has_an_answer_those_of_the_latest_week_with_one_are_asked() -> None:
    batches = shop_of({f"once-{n}": [(150.0 * 7 + 1.0, ["a"])] for n in range(20)}, 200)
    assert not len(batches.draw(batches.users, np.random.default_rng(1)).user)
    found = list(batches)
    assert len(found) == len(batches) == 3
    assert all(len(batch.questions.user) == 8 for batch in found)
    assert list(shop_of({"once": [(400.0, ["a"])]}, 40)) == []


def test_few_candidates_are_drawn_from_a_large_vocabulary(batches: BasketBatches, vocabulary: Vocabulary) -> None:
    assert next(iter(batches)).candidates is None
    batches.config = CONFIG.model_copy(update={"max_candidates": 5})
    candidates = next(iter(batches)).candidates
    assert candidates is not None
    assert len(set(candidates.tolist())) == 5
    assert int(candidates.max()) < vocabulary.size


def test_trends_look_back_only(histories: Histories, vocabulary: Vocabulary) -> None:
    trends = weekly_trends(histories, vocabulary.size, 3)
    for asked in range(4):
        for place, back in enumerate(TREND_WEEKS):
            days = histories.line_days_ago
            inside = (days > 7 * asked) & (days <= 7 * (asked + back))
            counts = np.bincount(histories.line_item[inside], minlength=vocabulary.size)
            np.testing.assert_array_equal(trends[asked, place], log_share(counts))
