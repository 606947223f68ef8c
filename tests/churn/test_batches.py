"""Batches: every row once, its own tokens, little padding; the order depends on seed and epoch alone."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from everstay.churn.batches import LengthBatches, make_batch
from everstay.churn.encoding import TokenEncoder, Tokens
from everstay.churn.rows import ChurnRows
from everstay.features import sequences as s


def batches(seed: int | None = None, rows: int = 1000, batch_rows: int = 64) -> LengthBatches:
    generator = np.random.default_rng(0)
    lengths = generator.integers(0, 30, rows)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    owner = np.repeat(np.arange(rows), lengths)
    tokens = Tokens(owner % 7, owner[:, None].astype(np.float32), starts)
    return LengthBatches(
        np.arange(rows, dtype=np.float32)[:, None], tokens, (np.arange(rows) % 2).astype(np.float32), batch_rows, seed
    )


@pytest.mark.parametrize("seed", [None, 3])
def test_every_row_is_in_one_batch_with_its_own_tokens(seed: int | None) -> None:
    made = list(batches(seed))
    assert len(made) == len(batches(seed)) == 16
    assert sorted(np.concatenate([batch.rows.numpy() for batch in made])) == list(range(1000))
    for batch in made:
        is_token = np.arange(batch.kinds.shape[1]) < batch.lengths.numpy()[:, None]
        owner = np.broadcast_to(batch.rows.numpy()[:, None], is_token.shape)
        assert (batch.numbers.numpy()[..., 0] == np.where(is_token, owner, 0)).all()
        assert (batch.kinds.numpy() == np.where(is_token, owner % 7, 0)).all()
        assert (batch.returns.numpy() == batch.rows.numpy() % 2).all()


def test_hardly_anything_is_padding() -> None:
    made = list(batches(3))
    places = sum(batch.kinds.numel() for batch in made)
    assert places < 1.1 * sum(int(batch.lengths.sum()) for batch in made)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        made = batches(seed)
        made.set_epoch(epoch)
        return [int(row) for batch in made for row in batch.rows]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_rows_without_tokens_make_a_batch() -> None:
    tokens = Tokens(np.zeros(0, np.int64), np.zeros((0, 2), np.float32), np.zeros(3, np.int64))
    batch = make_batch(np.zeros((2, 1), np.float32), tokens, np.zeros(2, np.float32), np.arange(2))
    assert batch.kinds.shape == (2, 1)
    assert batch.lengths.tolist() == [0, 0]


def test_tokens_equal_a_slow_reference(churn_rows: ChurnRows) -> None:
    rows = churn_rows.test.with_columns(
        *(pl.when(pl.int_range(pl.len()) != 5).then(name) for name in (s.TOKEN_TYPE, s.TOKEN_HOUR, s.TOKEN_DAYS_AGO))
    )
    encoder = TokenEncoder(4, np.zeros(1), np.ones(1))
    tokens = encoder.encode(rows)
    hours, days = rows[s.TOKEN_HOUR].to_list(), rows[s.TOKEN_DAYS_AGO].to_list()
    for row in range(20):
        mine = tokens.numbers[tokens.starts[row] : tokens.starts[row + 1]]
        expected = [np.log1p(hour) for hour in (hours[row] or [])[-4:]]
        assert mine[:, 5] == pytest.approx(expected)
        ago = (days[row] or [])[-4:]
        gaps = [0.0] + [earlier - later for earlier, later in pairwise(ago)]
        assert mine[:, 6] == pytest.approx([np.log1p(gap) for gap in gaps[: len(ago)]], abs=1e-5)


def test_tokens_beyond_the_kept_ones_change_nothing(churn_rows: ChurnRows) -> None:
    encoder = TokenEncoder.fit(churn_rows.train, 4)
    shorter = churn_rows.test.with_columns(pl.col(name).list.tail(5) for name in (s.TOKEN_TYPE, *_NUMBERS))
    whole, cut = encoder.encode(churn_rows.test), encoder.encode(shorter)
    assert (whole.starts == cut.starts).all()
    assert (whole.numbers == cut.numbers).all()


_NUMBERS = (s.TOKEN_DAYS_AGO, s.TOKEN_COUNT, s.TOKEN_AMOUNT, s.TOKEN_ITEMS, s.TOKEN_DISCOUNT, s.TOKEN_HOUR)
