"""Rows: parts by time that share nothing; what cannot be learned from is refused in words."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.churn.encoding import TOKEN_COLUMNS
from everstay.churn.prepare import count_judged
from everstay.churn.pretraining import last_histories
from everstay.churn.rows import LABEL_COLUMNS, PARTS, ChurnRows, join_rows
from everstay.errors import NotReady
from everstay.features import TimeSplit
from everstay.metrics.comparison import JudgedUsers
from tests.churn.conftest import BETWEEN, TEST, TRAIN, VALIDATION


def test_parts_are_read_as_they_were_written(churn_rows: ChurnRows, tmp_path: Path) -> None:
    read = ChurnRows.read(churn_rows.write(tmp_path / "rows"))
    for part in PARTS:
        assert_frame_equal(getattr(read, part), getattr(churn_rows, part))
    others = churn_rows.test.drop(LABEL_COLUMNS).head(3)
    assert_frame_equal(
        ChurnRows.read(replace(churn_rows, unlabelled=others).write(tmp_path / "rows")).unlabelled, others
    )


def test_refit_holds_every_row_but_the_test(churn_rows: ChurnRows) -> None:
    churn_rows.check()
    assert churn_rows.refit.height == 4 * 400 + 400 + 400
    assert churn_rows.refit[t.AS_OF].max() + timedelta(days=30) == churn_rows.test[t.AS_OF][0]


@pytest.mark.parametrize(("left", "stayed"), [(3, 9), (9, 3), (4, 0)])
def test_judged_users_are_counted_with_the_rarer_outcome(
    churn_rows: ChurnRows, tmp_path: Path, left: int, stayed: int
) -> None:
    test = churn_rows.test
    some = pl.concat([test.filter(t.CHURNED).head(left), test.filter(~pl.col(t.CHURNED)).head(stayed)])
    folder = replace(churn_rows, test=some).write(tmp_path / "rows")
    assert count_judged(folder) == JudgedUsers(left + stayed, min(left, stayed))


def test_one_class_is_refused(churn_rows: ChurnRows) -> None:
    stayed = churn_rows.validation.filter(~pl.col(t.CHURNED))
    with pytest.raises(NotReady, match=r"validation users, 0 of them left: both"):
        replace(churn_rows, validation=stayed).check()


def test_wrong_order_and_missing_columns_are_refused(churn_rows: ChurnRows) -> None:
    with pytest.raises(ValueError, match="order of time"):
        replace(churn_rows, validation=churn_rows.test).check()
    with pytest.raises(ValueError, match="train rows lack recency_days"):
        replace(churn_rows, train=churn_rows.train.drop("recency_days")).check()


def test_a_short_history_is_split_by_users(churn_rows: ChurnRows) -> None:
    known = pl.concat([churn_rows.refit, churn_rows.test])
    split = TimeSplit((VALIDATION,), (), (VALIDATION,), TEST)
    rows = ChurnRows.split(known, split)
    rows.check()
    assert 100 < rows.validation.height < 170 < rows.train.height < 300
    assert_frame_equal(rows.refit.sort(t.USER_ID), known.filter(pl.col(t.AS_OF) == VALIDATION).sort(t.USER_ID))
    fewer = ChurnRows.split(known.filter(pl.col(t.USER_ID) < "u3"), split)
    assert set(fewer.validation[t.USER_ID]) < set(rows.validation[t.USER_ID])
    with pytest.raises(ValueError, match="train and validation rows are not in order of time"):
        replace(rows, train=rows.refit).check()
    alone = rows.validation.head(1).with_columns(pl.lit(BETWEEN[-1]).alias(t.AS_OF))
    replace(rows, validation=pl.concat([alone, rows.validation.tail(-1)])).check()  # as-ofs need not be the same
    later = rows.validation.with_columns(pl.lit(TEST).alias(t.AS_OF))
    with pytest.raises(ValueError, match="validation and test rows are not in order of time"):
        replace(rows, validation=later, test=churn_rows.test.join(later, on=t.USER_ID, how="anti")).check()


def test_who_judges_a_short_history_is_not_learned_from_without_a_label_either(churn_rows: ChurnRows) -> None:
    split = TimeSplit((VALIDATION,), (), (VALIDATION,), TEST)
    everybody = churn_rows.refit.drop(LABEL_COLUMNS)
    rows = ChurnRows.split(
        pl.concat([churn_rows.refit, churn_rows.test]).filter(pl.col(t.USER_ID) < "u3"), split, everybody
    )
    assert rows.unlabelled.height > 100
    judges = ChurnRows.split(churn_rows.refit, split).validation
    assert rows.unlabelled.join(judges, on=t.USER_ID, how="semi").is_empty()


def test_join_keeps_labelled_users_and_those_without_tokens(churn_rows: ChurnRows) -> None:
    rows = churn_rows.test
    features = rows.drop(*LABEL_COLUMNS, *TOKEN_COLUMNS)
    tokens = rows.select(t.USER_ID, t.AS_OF, *TOKEN_COLUMNS).tail(-1)
    labels = rows.select(t.USER_ID, t.AS_OF, *LABEL_COLUMNS).head(10)
    joined = join_rows(features, tokens, labels)
    assert joined.height == 10
    assert joined[TOKEN_COLUMNS[0]].null_count() == 1
    assert join_rows(features, tokens).height == rows.height


def test_users_without_a_label_are_kept_as_of_the_last_training_as_ofs_only(churn_rows: ChurnRows) -> None:
    split = TimeSplit(TRAIN, BETWEEN, (VALIDATION,), TEST)
    everybody = pl.concat([churn_rows.refit, churn_rows.test]).drop(LABEL_COLUMNS)
    labelled = pl.concat([churn_rows.refit, churn_rows.test]).filter(pl.col(t.USER_ID) != "u7")
    rows = ChurnRows.split(labelled, split, everybody)
    assert rows.unlabelled.select(t.USER_ID, t.AS_OF).rows() == [("u7", TRAIN[-1]), ("u7", VALIDATION)]
    for learned, as_of in ((rows.train, TRAIN[-1]), (rows.refit, VALIDATION)):
        read = last_histories(learned, rows.unlabelled)
        assert set(read[t.AS_OF]) == {as_of}
        assert_frame_equal(read.sort(t.USER_ID), everybody.filter(pl.col(t.AS_OF) == as_of).sort(t.USER_ID))
    assert last_histories(churn_rows.train, churn_rows.unlabelled).height == 400
