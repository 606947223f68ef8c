"""A public sequence file becomes histories and next items, or is refused with its file and row."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import SourceError
from everstay.recommender.histories import read_histories
from everstay.recommender.sequence_file import read_sequence_rows
from everstay.recommender.vocabulary import Vocabulary


def test_the_last_two_items_are_the_targets(tmp_path: Path) -> None:
    file = tmp_path / "shop.txt"
    file.write_text("1 10 11 12 13\n2 11 10 12\n3 12 11\n4 10\n")
    rows = read_sequence_rows(file)
    columns = (t.USER_ID, "history_item", "history_days_ago", "history_order", "target_item")
    assert rows.validation.select(columns).rows() == [
        ("1", ["10", "11"], [2.0, 1.0], [1, 0], ["12"]),
        ("2", ["11"], [1.0], [0], ["10"]),
        ("3", ["12", "11"], [2.0, 1.0], [1, 0], None),
        ("4", ["10"], [1.0], [0], None),
    ]
    assert rows.test.select(columns).rows()[:2] == [
        ("1", ["10", "11", "12"], [3.0, 2.0, 1.0], [2, 1, 0], ["13"]),
        ("2", ["11", "10"], [2.0, 1.0], [1, 0], ["12"]),
    ]
    rows.check()
    histories = read_histories(rows.test, Vocabulary.learn(rows.test, 1))
    assert histories.order_counts.tolist() == [3, 2, 2, 1]
    assert histories.line_item.tolist() == [0, 1, 2, 1, 0, 2, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3 4\n2\n3 4 5 6\n", "row 2: '2' has no item"),
        ("1 2 3 4\n\n3 4 5 6\n", "row 2: '' has no item"),
        ("", "row 1: '' has no item"),
        ("1 2 3 4\n2 3 x 5\n", "row 2: '2 3 x 5' is not whole numbers"),
        ("1 2 3 4\n2 3 4.5\n", "row 2: '2 3 4.5' is not whole numbers"),
        ("1 2  3 4\n", "row 1: '1 2  3 4' is not whole numbers"),
        ("1,2,3\n", "row 1: '1,2,3' has no item"),
        ("user items\n1 2 3 4\n2 3 4 5\n", "row 1: 'user items' is not whole numbers"),
        ("A1 B1,B2,B3\nA2 B1,B3\n", r"row 1: 'A1 B1,B2,B3' is not ids of letters.* \(2 such rows\)"),
        ("1 2.5 3 4\n2 3.5 4 5\n", "row 1: '1 2.5 3 4' is not whole numbers"),
        (
            "1 2 3\n2 3 4\n1 5 6\n1 7 8\n",
            r"row 3: '1 5 6' is a second line of this user: merge the two \(2 such rows\)",
        ),
    ],
)
def test_a_bad_line_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.txt"
    file.write_text(text)
    with pytest.raises(SourceError, match=f"bad.txt, {message}"):
        read_sequence_rows(file)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.txt"
    file.write_bytes(b"1 2 3\n2 \xff\xfe 4\n")
    with pytest.raises(SourceError, match="row 2"):
        read_sequence_rows(file)


def test_a_file_without_anybody_to_judge_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "short.txt"
    file.write_text("1 2 3\n2 3\n")
    with pytest.raises(SourceError, match=r"short\.txt: no user has 3 items"):
        read_sequence_rows(file)


def test_what_begins_like_gzip_and_breaks_off_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "shop.txt.gz"
    file.write_bytes(gzip.compress(b"1 10 11 12\n" * 100)[:-12])
    with pytest.raises(SourceError, match=r"shop\.txt\.gz cannot be read"):
        read_sequence_rows(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.txt cannot be read"):
        read_sequence_rows(tmp_path / "nowhere.txt")


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    file = tmp_path / "shop.txt"
    file.write_bytes(b"1 10 11 12\r\n2 11 10 12\r\n")
    assert read_sequence_rows(file).test["target_item"].to_list() == [["12"], ["12"]]
    assert read_sequence_rows(file).validation.schema["history_item"] == pl.List(pl.String)


@pytest.mark.parametrize(
    "content",
    [
        b"1 10 11 12 \n2 11 10 12 \n",
        b"1\t10\t11\t12\n2\t11 10 12\n",
        b"1 10 11 12\n2 11 10 12\n\n \n",
        b"\xef\xbb\xbf1 10 11 12\n2 11 10 12",
        gzip.compress(b"1 10 11 12\n2 11 10 12\n", mtime=0),
    ],
)
def test_white_space_at_ends_tabs_a_byte_order_mark_and_gzip_change_nothing(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "shop.txt"
    file.write_bytes(content)
    assert read_sequence_rows(file).test.select(t.USER_ID, "history_item", "target_item").rows() == [
        ("1", ["10", "11"], ["12"]),
        ("2", ["11", "10"], ["12"]),
    ]


def test_ids_may_have_any_signs_but_separators_and_quotation_marks(tmp_path: Path) -> None:
    file = tmp_path / "shop.txt"
    file.write_text("user.0 sku:24 sku:7 é/1\nuser.1 sku:7 é/1 sku:24\n")
    assert read_sequence_rows(file).test["target_item"].to_list() == [["é/1"], ["sku:24"]]


def test_numbers_of_which_some_end_in_a_letter_are_words(tmp_path: Path) -> None:
    isbn = [f"{user} {user}57530211 {user}5 {user}0571197{'X' if user % 3 == 0 else '1'}\n" for user in range(1, 61)]
    file = tmp_path / "books.txt"
    file.write_text("".join(isbn))
    assert read_sequence_rows(file).test["target_item"].to_list()[2] == ["30571197X"]
    file.write_text("".join(isbn[:30]))  # ten lines with a letter may be mistakes
    with pytest.raises(SourceError, match=r"row 3: .* is not whole numbers .*\(10 such rows\)"):
        read_sequence_rows(file)


def test_ids_may_be_words(tmp_path: Path) -> None:
    file = tmp_path / "shop.txt"
    file.write_text("A1-x B_07 0101 B9\nA2 B_07 B9 0101\n")
    assert read_sequence_rows(file).test.select(t.USER_ID, "history_item", "target_item").rows() == [
        ("A1-x", ["B_07", "0101"], ["B9"]),
        ("A2", ["B_07", "B9"], ["0101"]),
    ]
