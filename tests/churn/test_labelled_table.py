"""Tables that somebody else labelled: what is read, what is refused, and that rows alike stay together."""

import gzip
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from everstay.churn import table_candidates
from everstay.churn.labelled_table import TableEncoder, columns_that_tell, read_labelled_table
from everstay.churn.table_candidates import TABLE_CANDIDATES, CrossValidated, choose_per_fold, cross_validate
from everstay.churn.table_folds import check_folds, group_folds, outcome_folds
from everstay.errors import EverstayError
from everstay.metrics.classification import calibration_slope, log_loss, roc_auc


def write(folder: Path, **columns: list[object]) -> Path:
    pl.DataFrame(columns, strict=False).write_parquet(folder / "table.parquet")
    return folder / "table.parquet"


def test_numbers_categories_ids_and_labels_are_told_apart(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        customer=["a", "b", "c", "d"],
        months=["1", " ", "3", "3"],
        plan=["basic", "full", "", "full"],
        spend=[1.5, float("inf"), 3.0, 3.0],
        left=["Yes", "no", "NO", "no"],
    )
    table = read_labelled_table(file, "left")
    assert table.ids == ("customer",)
    assert table.features["months"].to_list() == [1.0, None, 3.0, 3.0]
    assert table.features["plan"].to_list() == ["basic", "full", None, "full"]
    assert table.features["spend"].to_list() == [1.5, None, 3.0, 3.0]
    assert table.churned.tolist() == [1, 0, 0, 0]


def test_what_tells_nothing_is_left_out_and_named(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        rownames=[1, 2, 3, 4],
        CustomerID=[50001.0, 50002.0, 50003.0, 50004.0],
        spend=[1.5, 2.0, 3.0, 4.0],
        country=["x"] * 4,
        paid=[1.0] * 4,
        empty=[None] * 4,
        seldom=[None, None, None, 2.0],
        left=["True.", "False.", "False.", "True."],
    )
    table = read_labelled_table(file, "left")
    assert table.ids == ("rownames", "CustomerID")
    assert table.constants == ("country", "paid", "empty")
    assert table.features.columns == ["spend", "seldom"]
    assert table.churned.tolist() == [1, 0, 0, 1]


def test_rows_alike_but_for_their_id_are_one_group_and_named_columns_group_instead(tmp_path: Path) -> None:
    file = write(
        tmp_path, id=[1, 2, 3, 4], home=["x", "x", "y", "x"], orders=[5, 5, 5, 6], left=[True, True, True, False]
    )
    first, again, other, last = read_labelled_table(file, "left").groups
    assert first == again
    assert len({first, other, last}) == 3
    table = read_labelled_table(file, "left", ["home"])
    assert table.features.columns == ["orders"]
    assert table.groups[0] == table.groups[1] == table.groups[3] != table.groups[2]


def test_rows_without_a_group_are_not_one_user(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(
        tmp_path,
        home=["x", "x", None, "  ", None, None],
        flat=[1.0, 1.0, None, float("nan"), None, 2.0],
        orders=[5, 6, 5, 5, 6, 5],
        left=[True, True, True, True, False, True],
    )
    groups = read_labelled_table(file, "left", ["home", "flat"]).groups
    assert groups[0] == groups[1]
    assert groups[2] == groups[3]
    assert len(set(groups)) == 4
    assert caplog.messages == [
        f"{file}: 3 of 6 rows have no 'home' or 'flat'; only those alike in all columns stay together"
    ]


def test_half_of_the_rows_without_a_group_leave_the_folds_equal(tmp_path: Path) -> None:
    """As one group they were half of the table, and one of five folds."""
    users = [number if number % 2 else None for number in range(400)]
    spend = np.random.default_rng(1).normal(size=400).tolist()
    table = read_labelled_table(write(tmp_path, user=users, spend=spend, left=[0, 1, 0, 0] * 100), "left", ["user"])
    assert len(set(table.groups)) == 400
    assert np.bincount(group_folds(table.groups, 5, 1)).tolist() == [80] * 5


def test_a_csv_file_reads_like_a_parquet_file(tmp_path: Path) -> None:
    file = write(tmp_path, plan=["a", "b", "a"], orders=[1, 2, 1], left=[0, 1, 0])
    pl.read_parquet(file).write_csv(tmp_path / "table.csv")
    told = [read_labelled_table(tmp_path / name, "left") for name in ("table.parquet", "table.csv")]
    assert told[0].features.equals(told[1].features)
    assert (told[0].churned == told[1].churned).all()


@pytest.mark.parametrize(
    ("columns", "label", "group", "message"),
    [
        ({"x": [1, 1], "left": [0, 1]}, "lft", (), r"no column 'lft'; did you mean 'left'"),
        ({"x": [1, 1], "left": [0, 1]}, "left", ("city",), r"no column 'city'"),
        ({"x": [1, 1], "left": [0, 2]}, "left", (), r"row 2: label 'left' is 2; every row needs 0 or 1"),
        ({"x": [1, 1], "left": [0, None]}, "left", (), r"row 2: label 'left' is None"),
        ({"x": [1, 1], "left": [1, 1]}, "left", (), r"the same in every row"),
        ({"x": [1, 1], "left": [0, 1]}, "left", (), r"no column to learn from besides 'left' and x"),
        ({"x": ["a", "b"], "left": ["gone", "here"]}, "left", (), r"row 1: label 'left' is 'gone'; every row needs"),
        ({"x": [1, 2], "left": [0, 1]}, "left", (), r"no column to learn from besides 'left' and x"),
        (
            {"x": [[1], [1], [2]], "left": [0, 1, 1]},
            "left",
            (),
            r"column 'x' is List\(Int64\), neither a number nor a category",
        ),
        (
            {"x": [*map(str, range(150)), "a", "a"], "left": [0, 1] * 76},
            "left",
            (),
            r"no column to learn from besides 'left' and x",
        ),
        ({"x": [], "left": []}, "left", (), r"table\.parquet has no rows"),
        (
            {"^x.*$": [1, 1, 2], "left": [0, 1, 1]},
            "left",
            (),
            r"column '\^x\.\*\$' is named like a pattern .*: rename it",
        ),
        ({"*": [1, 1, 2], "left": [0, 1, 1]}, "left", (), r"column '\*' is named like a pattern .*: rename it"),
    ],
)
def test_columns_that_cannot_be_used_are_named(
    tmp_path: Path, columns: dict[str, list[object]], label: str, group: tuple[str, ...], message: str
) -> None:
    with pytest.raises(EverstayError, match=message):
        read_labelled_table(write(tmp_path, **columns), label, group)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(EverstayError, match=r"absent\.csv does not exist, or is not one of \.parquet, \.csv, "):
        read_labelled_table(tmp_path / "absent.csv", "left")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("ragged.csv", b"a,left\n1,2\n1,2,3\n"),
        ("latin.csv", "a,left\n\u00e9,1\n".encode("latin-1")),
        ("broken.csv.gz", b"\x1f\x8b\x08 broken"),
        ("broken.parquet", b"no table at all"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EverstayError, match=rf"{name} cannot be read: \S"):
        read_labelled_table(tmp_path / name, "left")


@pytest.mark.parametrize(("name", "separator"), [("t.CSV", ";"), ("t.tsv", "\t"), ("t.csv", "|"), ("t.csv.gz", ",")])
def test_text_files_of_other_makers_read_alike(tmp_path: Path, name: str, separator: str) -> None:
    text = "orders,plan,since,left\n1,a,2024-01-02,no\n2,b,2024-01-03,yes\n2,a,2024-01-03,no\n".replace(",", separator)
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    table = read_labelled_table(tmp_path / name, "left")
    assert table.features.rows() == [(1.0, "a", 19724.0), (2.0, "b", 19725.0), (2.0, "a", 19725.0)]


def test_decimal_commas_of_a_file_with_semicolons_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    rows = ["-12,50;3,;a;1;1,0", "7;3,5;b;1,5;0,0", ";-;1,5;2;1,0", " 0,25 ;3,;b;NA;0,0"]
    file.write_text("\n".join(["saldo;note;plan;orders;left", *rows]), encoding="utf-8")
    table = read_labelled_table(file, "left")
    assert table.features["saldo"].to_list() == [-12.5, 7.0, None, 0.25]
    assert table.features["orders"].to_list() == [1.0, 1.5, 2.0, None]
    assert table.features["note"].to_list() == ["3,", "3,5", "-", "3,"]  # one is no number
    assert table.features["plan"].to_list() == ["a", "b", "1,5", "b"]
    assert table.churned.tolist() == [1, 0, 1, 0]


def test_a_pattern_as_a_name_is_refused_in_a_file_with_semicolons_too(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("^a.*$;left\n1,5;0\n2,5;1\n", encoding="utf-8")
    with pytest.raises(EverstayError, match="is named like a pattern"):
        read_labelled_table(tmp_path / "table.csv", "left")


def test_commas_within_the_texts_of_other_files_are_not_decimal(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text('codes,left\n"1,5",0\n"2,5",1\n"1,5",1\n')
    assert read_labelled_table(file, "left").features["codes"].to_list() == ["1,5", "2,5", "1,5"]


def test_times_of_day_are_hours(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("calls_at,left\n10:30:00,0\n00:00:36,1\n,1\n")
    assert read_labelled_table(file, "left").features["calls_at"].to_list() == [10.5, 0.01, None]


def test_a_decimal_label_is_a_label(tmp_path: Path) -> None:
    labels = pl.Series("left", [1, 0, 1]).cast(pl.Decimal(10, 2))
    pl.DataFrame({"x": [1.5, 1.5, 2.0], "left": labels}).write_parquet(tmp_path / "table.parquet")
    assert read_labelled_table(tmp_path / "table.parquet", "left").churned.tolist() == [1, 0, 1]


def test_dates_are_days_and_words_for_missing_numbers_are_missing(tmp_path: Path) -> None:
    moments = [datetime(1970, 1, 3, 12, tzinfo=UTC), None, None]
    file = write(
        tmp_path,
        since=[date(1970, 1, 2), None, date(1970, 1, 2)],
        seen=moments,
        spend=["1.5", "NA", "nan"],
        extra=["None", "None", "gold"],
        left=["Existing Customer", "Attrited Customer", "Existing Customer"],
    )
    table = read_labelled_table(file, "left")
    assert table.features.rows() == [(1.0, 2.5, 1.5, "None"), (None, None, None, "None"), (1.0, None, None, "gold")]
    assert table.churned.tolist() == [0, 1, 0]


def test_texts_too_many_for_categories_are_left_out_and_named(tmp_path: Path) -> None:
    file = write(tmp_path, surname=[*map("s{}".format, range(101)), "s1"], orders=[1, 2] * 51, left=[-1, 1] * 51)
    table = read_labelled_table(file, "left")
    assert table.texts == ("surname",)
    assert table.features.columns == ["orders"]
    assert table.churned.tolist() == [0, 1] * 51


def test_columns_that_alone_decide_the_label_are_named(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        status=["churned", "active", "active", "gone", "active"],
        reason=["price", None, None, "moved", None],
        ended=[date(2024, 1, 2), None, None, date(2024, 1, 2), None],
        last_seen_days=[90.0, 3.0, 89.5, 400.0, 3.0],
        score=[-2.0, 5.0, None, -1.5, 5.0],
        plan=["basic", "basic", "full", "full", None],
        spend=[2.0, 1.0, 3.0, 2.0, 1.0],
        calls=[1.0, 1.0, 0.0, 2.0, None],
        left=["yes", "no", "no", "yes", "no"],
    )
    told = columns_that_tell(read_labelled_table(file, "left"))
    assert told == ["status", "reason", "ended", "last_seen_days", "score"]


def test_an_outcome_too_rare_for_the_folds_is_told() -> None:
    rows = np.arange(100)
    folds = rows % 5
    check_folds((rows < 3).astype(float), rows, folds)
    with pytest.raises(EverstayError, match="2 of 100 rows with the rarer outcome are too few for 5 folds"):
        check_folds((rows < 2).astype(float), rows, folds)
    with pytest.raises(EverstayError, match="2 of 100 rows with the rarer outcome are too few for 5 folds"):
        check_folds(np.isin(rows, (0, 2)).astype(float), rows, folds)  # without either fold one leaver would remain


def test_folds_never_part_a_group_and_are_nearly_equal() -> None:
    groups = np.random.default_rng(3).integers(0, 300, 1_000)
    folds = group_folds(groups, 5, 1)
    assert all(len(set(folds[groups == group])) == 1 for group in np.unique(groups))
    assert np.bincount(folds).min() > 180
    assert (group_folds(groups, 5, 2) != folds).any()
    with pytest.raises(EverstayError, match="2 groups of rows are too few for 5 folds"):
        group_folds(np.array([1, 1, 2]), 5, 1)


def test_no_fold_is_empty_beside_large_groups() -> None:
    groups = np.repeat(np.arange(12), [589, 543, 1850, 893, 391, 398, 347, 337, 564, 581, 168, 382])
    for seed in range(20):
        sizes = np.bincount(group_folds(groups, 5, seed), minlength=5)
        assert sizes.min() > 0
    assert np.bincount(group_folds(np.array([1] * 96 + [2, 3, 4, 5]), 5, 1)).tolist() == [96, 1, 1, 1, 1]


def test_both_outcomes_remain_without_a_fold_however_rare_one_is() -> None:
    groups = np.random.default_rng(3).integers(0, 300, 1_000)
    for leavers in ((4, 9), (1, 5, 80, 201), range(150)):
        churned = np.isin(groups, leavers).astype(float)
        folds = outcome_folds(churned, groups, 10, 1)
        assert all(len(set(folds[groups == group])) == 1 for group in np.unique(groups))
        groups_left = [len(set(groups[(folds == fold) & (churned == 1)])) for fold in range(10)]
        assert max(groups_left) - min(groups_left) <= 1
    assert (outcome_folds(churned, groups, 10, 2) != folds).any()
    assert set(outcome_folds(np.array([0.0, 0, 1, 1]), np.arange(4), 10, 1)) == {0, 1, 2, 3}


def test_every_fold_has_the_candidate_that_was_expected_to_be_best_in_it() -> None:
    judged = {
        "tree": CrossValidated(np.full(6, 0.1), np.array([0.3, 0.5, 0.3])),
        "lasso": CrossValidated(np.full(6, 0.2), np.array([0.4, 0.4, 0.4])),
    }
    names, probabilities = choose_per_fold(judged, np.array([0, 1, 2, 0, 1, 2]))
    assert names == ["tree", "lasso", "tree"]
    assert probabilities.tolist() == [0.1, 0.2, 0.1, 0.1, 0.2, 0.1]


def test_categories_are_those_of_training_and_unknown_ones_are_none_of_them() -> None:
    encoder = TableEncoder.fit(pl.DataFrame({"plan": ["a", "b", None], "orders": [1.0, None, 3.0]}))
    told = encoder.encode(pl.DataFrame({"plan": ["b", "c", None], "orders": [1.0, None, 3.0]}))
    np.testing.assert_array_equal(told, [[1, 0, 1], [np.nan, 0, 0], [3, 0, 0]])


def test_a_number_that_no_training_row_has_is_left_out() -> None:
    encoder = TableEncoder.fit(
        pl.DataFrame({"orders": [1.0, 2.0], "seldom": pl.Series([None, None], dtype=pl.Float64)})
    )
    np.testing.assert_array_equal(encoder.encode(pl.DataFrame({"orders": [3.0], "seldom": [4.0]})), [[3.0]])


def test_a_support_vector_machine_learns_from_a_sample_of_many_rows() -> None:
    generator = np.random.default_rng(5)
    matrix = generator.normal(size=(11_000, 1))
    outcome = (matrix[:, 0] + generator.normal(size=11_000) > 0).astype(float)
    machine = TABLE_CANDIDATES["svm"](1)[0].fit(matrix, outcome)  # type: ignore[attr-defined]
    assert machine[-1].shape_fit_ == (10_000, 1)
    assert roc_auc(outcome, machine.decision_function(matrix)) > 0.8


@pytest.mark.parametrize("leavers", [1, 2, 3])
def test_a_support_vector_machine_learns_from_the_only_leavers_among_many_rows(
    leavers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_candidates, "_MOST_SVM_ROWS", 500)
    matrix = np.random.default_rng(5).normal(size=(20_000, 1))
    outcome = np.zeros(20_000)
    outcome[np.argsort(matrix[:, 0])[-leavers:]] = 1
    machine = TABLE_CANDIDATES["svm"](1)[0].fit(matrix, outcome)  # type: ignore[attr-defined]
    assert machine[-1].shape_fit_ == (500, 1)
    assert roc_auc(outcome, machine.decision_function(matrix)) > 0.99


class Learner:
    """Tells users apart the better, the more rows it has learned from."""

    def fit(self, matrix: np.ndarray, _: np.ndarray) -> None:
        self.strength = len(matrix) / 3_000

    def decision_function(self, matrix: np.ndarray) -> np.ndarray:
        return matrix[:, 0] * self.strength


def test_probabilities_are_right_though_more_rows_make_a_stronger_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(9)
    odds = 2 * generator.normal(size=3_000)
    left = generator.random(3_000) < 1 / (1 + np.exp(-odds))
    table = read_labelled_table(write(tmp_path, odds=odds.tolist(), left=left.tolist()), "left")
    monkeypatch.setitem(TABLE_CANDIDATES, "learner", lambda _: [Learner()])
    judged = cross_validate(table, group_folds(table.groups, 3, 1), "learner", 1)
    assert calibration_slope(table.churned, judged.probabilities) == pytest.approx(19 / 20, abs=0.03)


@pytest.mark.parametrize("name", ["logistic", "lasso", "tree", "svm"])
def test_candidates_rank_what_is_planted_and_are_judged_on_what_they_have_not_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    generator = np.random.default_rng(7)
    orders, plan = generator.normal(size=600), generator.choice(["a", "b"], 600)
    odds = 2 * orders + np.where(plan == "a", 1.0, -1.0)
    left = generator.random(600) < 1 / (1 + np.exp(-odds))
    noise = generator.choice(["u", "v", "w"], 600)
    table = read_labelled_table(write(tmp_path, orders=[*orders], plan=[*plan], noise=[*noise], left=[*left]), "left")
    folds = group_folds(table.groups, 3, 1)
    with caplog.at_level("INFO"):
        judged = cross_validate(table, folds, name, 1)
    assert name in TABLE_CANDIDATES
    probability = judged.probabilities
    assert caplog.messages == [f"{name}: fold {fold} of 3" for fold in (1, 2, 3)]
    assert 0.78 < roc_auc(table.churned, probability) < roc_auc(table.churned, odds) + 0.01
    assert judged.losses.mean() == pytest.approx(log_loss(table.churned, probability), abs=0.05)
    assert 0.8 < calibration_slope(table.churned, probability) < 1.2
