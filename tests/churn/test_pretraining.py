"""A reader learns from users without a label too, and from nothing that came after the last training as-of."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from everstay import tables as t
from everstay.churn.config import TransformerConfig
from everstay.churn.encoding import FEATURE_COLUMNS
from everstay.churn.ensemble import NetworkEncoder
from everstay.churn.pretraining import last_histories, pretrain
from everstay.churn.rows import ChurnRows, join_rows
from everstay.features import TimeSplit, churn_labels, day_tokens
from everstay.settings import Churn, Training
from tests.strategies import AS_OF, event, frame_of

VALIDATION, TEST = AS_OF + timedelta(days=30), AS_OF + timedelta(days=60)
SPLIT = TimeSplit((AS_OF,), (), (VALIDATION,), TEST)


@pytest.fixture(scope="module")
def known() -> list[dict[str, object]]:
    """Purchases of 40 users before `AS_OF`, a quarter of whom have been away for longer than the look-back."""
    generator = np.random.default_rng(5)
    away = [100 if user < 10 else 0 for user in range(40)]
    days = [(user, -int(ago) - away[user]) for user in range(40) for ago in generator.integers(1, 80, 12)]
    return [event(f"u{user}", t.PURCHASE, ago) for user, ago in days]


def later() -> list[dict[str, object]]:
    """What comes after: orders of everybody, and some of before that were recorded too late."""
    comes = [event(f"u{user}", t.PURCHASE, day) for user in range(0, 60, 3) for day in (1, 15, 40)]
    return comes + [event(f"u{user}", t.PURCHASE, -20, late_days=200) for user in range(0, 40, 7)]


def rows_of(events: pl.DataFrame) -> ChurnRows:
    """As `prepare_rows` makes them, of the last training as-of and the validation's."""
    as_ofs = (AS_OF, VALIDATION)
    labels = pl.concat([churn_labels(events, one, Churn(), one + timedelta(days=300)) for one in as_ofs])
    tokens = pl.concat([day_tokens(events, one, 64) for one in as_ofs])
    read = [pl.lit(0.0).alias(name) for name in FEATURE_COLUMNS]  # no reader reads them
    features = tokens.select(t.USER_ID, t.AS_OF, *read)
    return ChurnRows.split(join_rows(features, tokens, labels), SPLIT, join_rows(features, tokens))


def weights(rows: ChurnRows, unlabelled: pl.DataFrame, folder: Path) -> torch.Tensor:
    config = TransformerConfig(pretrain_epochs=1, state_width=8, token_width=8, batch_rows=32)
    encoder = NetworkEncoder.fit(rows.train, config)
    training = Training(accelerator="cpu", max_epochs=1)
    read = pretrain(config, encoder, last_histories(rows.train, unlabelled), training, folder)
    return torch.cat([weight.flatten() for _, weight in sorted(read.items())])


def test_later_events_change_not_one_bit_of_what_was_read(known: list[dict[str, object]], tmp_path: Path) -> None:
    ours, theirs = rows_of(frame_of(known)), rows_of(frame_of([*known, *later()]))
    assert sorted(ours.unlabelled.filter(pl.col(t.AS_OF) == AS_OF)[t.USER_ID]) == [f"u{user}" for user in range(10)]
    assert theirs.unlabelled.height != ours.unlabelled.height  # as of the validation, which only a refit reads
    first = weights(ours, ours.unlabelled, tmp_path / "ours")
    assert torch.equal(first, weights(theirs, theirs.unlabelled, tmp_path / "theirs"))
    assert not torch.equal(first, weights(ours, ours.unlabelled.clear(), tmp_path / "labelled"))
