"""The lake's tables: replaced, published per as-of and appended, each at most once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from polars.testing import assert_frame_equal

from everstay import tables as t
from everstay.errors import NotReady
from everstay.lake import Lake, commit_entities, content_key, stage_entities
from everstay.partitions import IN_PROCESS, Parts, compute_parts
from everstay.storage import Folder
from tests.publishing import publish

MONDAY = datetime(2023, 5, 1, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), 2)


def items(*names: str) -> pl.DataFrame:
    return t.ITEMS.conform(pl.DataFrame({t.ITEM_ID: names}))


def labels(as_of: datetime, *churned: bool) -> pl.DataFrame:
    return t.CHURN_LABELS.conform(
        pl.DataFrame(
            {
                t.USER_ID: [f"u{n}" for n in range(len(churned))],
                t.AS_OF: as_of,
                t.CHURNED: churned,
                t.RETURN_DAYS: [None if left else 3 for left in churned],
                t.ORDER_DAYS: [0 if left else 1 for left in churned],
                t.HORIZON_DAYS: 28,
                t.MATURED_AT: as_of,
            }
        )
    )


def test_an_empty_lake_says_what_to_do(lake: Lake):
    with pytest.raises(NotReady, match="make train"):
        lake.snapshot()
    assert lake.read(t.ITEMS) is None


def test_replace_is_once_per_key(lake: Lake):
    assert lake.replace(t.ITEMS, items("a", "b"), key="one")
    assert not lake.replace(t.ITEMS, items("a", "b"), key="one")
    assert lake.open(t.ITEMS).version() == 0
    assert lake.replace(t.ITEMS, items("c"), key="two")
    assert lake.read(t.ITEMS)[t.ITEM_ID].to_list() == ["c"]
    assert lake.read(t.ITEMS, version=0)[t.ITEM_ID].to_list() == ["a", "b"]


@pytest.mark.parametrize("by_moment", [False, True])
def test_a_replacement_that_a_restoration_undid_is_made_again(lake: Lake, by_moment: bool):
    for key, names in (("v1", "a"), ("v2", "ab")):
        lake.replace(t.ITEMS, items(*names), key=key)
    table = DeltaTable(lake.table_uri(t.ITEMS))
    first = table.history()[-1]["timestamp"]
    table.restore(datetime.fromtimestamp(first / 1_000, UTC) if by_moment else 0)
    assert lake.holds(t.ITEMS, "v1")
    assert lake.replace(t.ITEMS, items(*"ab"), key="v2")
    assert not lake.replace(t.ITEMS, items(*"ab"), key="v2")
    assert lake.read(t.ITEMS)[t.ITEM_ID].to_list() == ["a", "b"]


def test_rows_that_were_deleted_come_back_with_the_same_content(lake: Lake):
    lake.replace(t.ITEMS, items("a", "b"), key="v1")
    DeltaTable(lake.table_uri(t.ITEMS)).delete("item_id = 'b'")
    assert lake.replace(t.ITEMS, items("a", "b"), key="v1")
    assert lake.read(t.ITEMS)[t.ITEM_ID].to_list() == ["a", "b"]


def test_tidying_files_changes_no_content(lake: Lake):
    lake.replace(t.ITEMS, items("a", "b"), key="v1")
    write_deltalake(lake.table_uri(t.ITEMS), items("c"), mode="append")
    assert not lake.holds(t.ITEMS, "v1")
    lake.replace(t.ITEMS, items("a", "b"), key="v1")
    table = DeltaTable(lake.table_uri(t.ITEMS))
    table.optimize.compact()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert lake.holds(t.ITEMS, "v1")


def test_a_publication_that_is_gone_is_published_again(lake: Lake):
    publish(lake, t.CHURN_LABELS, labels(MONDAY, True, False), as_of=MONDAY, key="v1")
    publish(lake, t.CHURN_LABELS, labels(TUESDAY, True, False), as_of=TUESDAY, key="v1")
    DeltaTable(lake.table_uri(t.CHURN_LABELS)).restore(0)
    assert lake.has_published(t.CHURN_LABELS, MONDAY, "v1")
    assert publish(lake, t.CHURN_LABELS, labels(TUESDAY, True, False), as_of=TUESDAY, key="v1")
    table = DeltaTable(lake.table_uri(t.CHURN_LABELS))
    table.delete("user_id = 'u0'")
    assert lake.has_published(t.CHURN_LABELS, TUESDAY, "v1")
    table.delete()
    assert publish(lake, t.CHURN_LABELS, labels(TUESDAY, True, False), as_of=TUESDAY, key="v1")
    assert lake.as_ofs(t.CHURN_LABELS) == [TUESDAY]


def test_publishing_one_as_of_leaves_the_others(lake: Lake):
    assert publish(lake, t.CHURN_LABELS, labels(MONDAY, True, False), as_of=MONDAY, key="v1")
    assert publish(lake, t.CHURN_LABELS, labels(TUESDAY, True), as_of=TUESDAY, key="v1")
    assert publish(lake, t.CHURN_LABELS, labels(MONDAY, False, False, True), as_of=MONDAY, key="v2")
    stored = lake.read(t.CHURN_LABELS).sort(t.AS_OF, t.USER_ID)
    assert_frame_equal(stored, pl.concat([labels(MONDAY, False, False, True), labels(TUESDAY, True)]))


def test_a_publication_is_read_from_its_own_files_alone(lake: Lake):
    assert (lake.as_ofs(t.CHURN_LABELS), len(lake.read_publication(t.CHURN_LABELS, MONDAY))) == ([], 0)
    for as_of, key in ((TUESDAY, "v1"), (MONDAY, "v1"), (MONDAY, "v2")):
        publish(lake, t.CHURN_LABELS, labels(as_of, key == "v2", False), as_of=as_of, key=key)
    assert lake.as_ofs(t.CHURN_LABELS) == [MONDAY, TUESDAY]
    for name in Path(lake.table_uri(t.CHURN_LABELS)).glob("*.parquet"):
        if pl.read_parquet(name)[t.AS_OF][0] == TUESDAY:
            name.unlink()
    assert_frame_equal(lake.read_publication(t.CHURN_LABELS, MONDAY), labels(MONDAY, True, False))
    chosen = lake.read_publication(t.CHURN_LABELS, MONDAY, (t.CHURNED, t.USER_ID))
    assert chosen.rows() == [(True, "u0"), (False, "u1")]
    nothing = lake.read_publication(t.CHURN_LABELS, TUESDAY + timedelta(days=1), (t.CHURNED, t.USER_ID))
    assert nothing.equals(t.CHURN_LABELS.empty().select(t.CHURNED, t.USER_ID))


def test_as_ofs_that_share_a_file_after_a_deletion_are_told_apart(lake: Lake):
    wednesday = TUESDAY + timedelta(days=1)
    for as_of in (MONDAY, TUESDAY, wednesday):
        publish(lake, t.CHURN_LABELS, labels(as_of, True, as_of == TUESDAY, False), as_of=as_of, key="v1")
    lake.open(t.CHURN_LABELS).delete("user_id = 'u0'")  # asked for by a user; it writes what is left into one file
    lake.open(t.CHURN_LABELS).optimize.compact()
    assert len(lake.open(t.CHURN_LABELS).file_uris()) == 1
    assert lake.as_ofs(t.CHURN_LABELS) == [MONDAY, TUESDAY, wednesday]
    told = {
        as_of: rows.sort(t.USER_ID)[t.CHURNED].to_list()
        for as_of, rows in lake.read_publications(t.CHURN_LABELS, lake.as_ofs(t.CHURN_LABELS))
    }
    assert told == {MONDAY: [False, False], TUESDAY: [True, False], wednesday: [False, False]}
    publish(lake, t.CHURN_LABELS, labels(TUESDAY, True), as_of=TUESDAY, key="v2")
    assert lake.read_publication(t.CHURN_LABELS, TUESDAY, [t.CHURNED]).rows() == [(True,)]
    assert len(lake.read_publication(t.CHURN_LABELS, MONDAY)) == 2


def test_where_nothing_is_left_there_is_no_publication(lake: Lake):
    publish(lake, t.CHURN_LABELS, labels(MONDAY, True), as_of=MONDAY, key="v1")
    lake.open(t.CHURN_LABELS).delete("churned")
    assert lake.as_ofs(t.CHURN_LABELS) == []
    assert lake.read_publication(t.CHURN_LABELS, MONDAY).equals(t.CHURN_LABELS.empty())


def test_what_workers_computed_is_published_part_by_part(lake: Lake, tmp_path: Path):
    def parts(*frames: pl.DataFrame) -> Parts:
        folder = Folder(str(tmp_path / "parts"))
        return compute_parts(lambda number: frames[number], range(len(frames)), folder, IN_PROCESS)

    monday, tuesday = labels(MONDAY, True, False, True), labels(TUESDAY, False)
    for as_of, key, frame in ((MONDAY, "v1", monday.head(1)), (TUESDAY, "v1", tuesday), (MONDAY, "v2", monday)):
        computed = parts(frame.head(2), frame.slice(2))
        assert lake.publish_parts(t.CHURN_LABELS, computed, as_of=as_of, key=key)
        assert computed.folder.files() == []
    assert not lake.publish_parts(t.CHURN_LABELS, parts(monday), as_of=MONDAY, key="v2")
    with pytest.raises(ValueError, match="no other as-of"):
        lake.publish_parts(t.CHURN_LABELS, parts(monday, tuesday), as_of=MONDAY, key="v3")
    stored = [lake.read_publication(t.CHURN_LABELS, as_of).sort(t.USER_ID) for as_of in (MONDAY, TUESDAY)]
    assert_frame_equal(pl.concat(stored), pl.concat([monday, tuesday]))


def test_a_column_that_an_older_release_did_not_publish_is_null(lake: Lake):
    older = replace(t.CHURN_LABELS, columns={k: v for k, v in t.CHURN_LABELS.columns.items() if k != t.ORDER_DAYS})
    publish(lake, older, labels(MONDAY, True).drop(t.ORDER_DAYS), as_of=MONDAY, key="v1")
    publish(lake, t.CHURN_LABELS, labels(TUESDAY, True), as_of=TUESDAY, key="v1")
    told = [lake.read_publication(t.CHURN_LABELS, as_of, (t.ORDER_DAYS,)).item() for as_of in (MONDAY, TUESDAY)]
    assert told == [None, 0]


def test_rows_are_chosen_in_every_file(lake: Lake):
    left = pl.col(t.CHURNED)
    assert lake.read(t.CHURN_LABELS, where=left) is None
    for as_of in (MONDAY, TUESDAY):
        publish(lake, t.CHURN_LABELS, labels(as_of, True, False, True), as_of=as_of, key="v1")
    assert len(lake.open(t.CHURN_LABELS).file_uris()) == 2
    assert_frame_equal(lake.read(t.CHURN_LABELS, where=left), lake.read(t.CHURN_LABELS).filter(left))
    assert lake.read(t.CHURN_LABELS, where=left)[t.USER_ID].to_list() == ["u0", "u2"] * 2
    assert lake.read(t.CHURN_LABELS, where=~left & left).equals(t.CHURN_LABELS.empty())


def test_publishing_again_changes_nothing(lake: Lake):
    publish(lake, t.CHURN_LABELS, labels(MONDAY, True), as_of=MONDAY, key="v1")
    publish(lake, t.CHURN_LABELS, labels(TUESDAY, True), as_of=TUESDAY, key="v1")
    version = lake.open(t.CHURN_LABELS).version()
    assert not publish(lake, t.CHURN_LABELS, labels(MONDAY, True), as_of=MONDAY, key="v1")
    assert lake.open(t.CHURN_LABELS).version() == version


def test_a_table_of_an_older_release_gets_the_new_columns(lake: Lake):
    new = (t.RETURN_DAYS, t.ORDER_DAYS)
    columns = {name: dtype for name, dtype in t.CHURN_LABELS.columns.items() if name not in new}
    older = replace(t.CHURN_LABELS, columns=columns, required=t.CHURN_LABELS.required.difference(new))
    publish(lake, older, labels(MONDAY, True, False).drop(new), as_of=MONDAY, key="v1")
    assert publish(lake, t.CHURN_LABELS, labels(TUESDAY, True), as_of=TUESDAY, key="v2")
    stored = lake.read(t.CHURN_LABELS).sort(t.CHURN_LABELS.key)
    assert stored.schema == t.CHURN_LABELS.empty().schema
    assert stored[t.ORDER_DAYS].to_list() == [None, 0, None]
    assert lake.read(t.CHURN_LABELS, version=0).schema == t.CHURN_LABELS.empty().schema


def test_a_publication_holds_one_as_of(lake: Lake):
    mixed = pl.concat([labels(MONDAY, True), labels(TUESDAY, True)])
    with pytest.raises(ValueError, match="must hold no other as-of"):
        publish(lake, t.CHURN_LABELS, mixed, as_of=MONDAY, key="v1")
    assert lake.read(t.CHURN_LABELS) is None


def test_append_adds_a_key_once(lake: Lake):
    for names in (("a", "b"), ("b", "c"), ("a",)):
        lake.append(t.ITEMS, items(*names))
    assert sorted(lake.read(t.ITEMS)[t.ITEM_ID]) == ["a", "b", "c"]


class Shop:
    """A source of entities that grows by one item a visit."""

    def __init__(self) -> None:
        self.names = ["a"]

    def items(self) -> pl.DataFrame:
        return items(*self.names)

    def users(self) -> pl.DataFrame:
        return t.USERS.empty()

    def treatments(self) -> pl.DataFrame:
        return t.TREATMENTS.empty()


def test_entities_get_a_new_version_only_when_they_changed(lake: Lake, tmp_path: Path):
    shop = Shop()
    assert commit_entities(stage_entities(lake, shop, Folder(str(tmp_path / "staged")))) == (
        "items",
        "users",
        "treatments",
    )
    assert commit_entities(stage_entities(lake, shop, Folder(str(tmp_path / "staged")))) == ()
    shop.names.append("b")
    assert commit_entities(stage_entities(lake, shop, Folder(str(tmp_path / "staged")))) == ("items",)
    assert lake.read(t.ITEMS)[t.ITEM_ID].to_list() == ["a", "b"]


def test_a_content_key_names_content_not_memory():
    whole = items("a", "b", "c")
    assert content_key(whole) == content_key(pl.concat([items("a"), items("b", "c")]))
    assert content_key(whole) != content_key(items("a", "c", "b"))
