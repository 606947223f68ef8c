"""For a coupon or a campaign: the users who want one of its items most, by the champion that makes the lists."""

import logging
from collections.abc import Sequence
from functools import partial

import polars as pl

from everstay import tables as t
from everstay.errors import NotReady
from everstay.partitions import compute_parts
from everstay.scoring.recommendations import list_rows, list_rules
from everstay.scoring.work import Work
from everstay.settings import Recommender
from everstay.storage import Folder

log = logging.getLogger(__name__)

COLUMNS = (t.USER_ID, t.ITEM_ID, t.SCORE, t.PLACE, t.REASON)


def items_of(items: pl.DataFrame, category: str) -> list[str]:
    """Ids of a category or subcategory, sorted.

    Raises:
        NotReady: the catalogue has no item of it.
    """
    found = items.filter((pl.col(t.CATEGORY) == category) | (pl.col(t.SUBCATEGORY) == category))
    if found.is_empty():
        raise NotReady(f"no item of the catalogue has category or subcategory '{category}'")
    return found[t.ITEM_ID].sort().to_list()


def find_campaign_users(
    work: Work, recommender: Recommender, items: Sequence[str], users: int, folder: Folder, scheduler: str
) -> pl.DataFrame:
    """Find the users who want one of the items most; those who refused marketing are left out.

    A user for whom the list rules exclude all of the items (bought lately, blocked, not on sale) is left out too.

    Args:
        work: what to score, with which champion.
        recommender: the shop's rules for lists.
        items: ids of the coupon's or campaign's items.
        users: at most this many.
        folder: gets one file per bucket.
        scheduler: address from `partitions.open_cluster`.

    Returns:
        `COLUMNS`: the one of the items that the user wants most, its score, its place among all items for the user, and
        the reason; highest score first.

    Raises:
        NotReady: the champion knows none of the items.
    """
    known = set(work.load_model().vocabulary.items[t.ITEM_ID])
    unknown = [item for item in items if item not in known]
    named = ", ".join(unknown[:5]) + (" ..." if len(unknown) > 5 else "")
    if len(unknown) == len(items):
        advice = _other_items(work.reader.read(t.ITEMS), items)
        raise NotReady(
            f"the champion knows none of the items {named}: too few users bought them, or the id is wrong{advice}"
        )
    if unknown:
        log.warning("left out %s: the champion does not know %d of the items", named, len(unknown))
    bucket = partial(users_of_bucket, work=work, recommender=recommender, items=tuple(items), users=users)
    found = compute_parts(bucket, work.reader.buckets, folder, scheduler).read_all()
    return found.sort(t.SCORE, t.USER_ID, descending=[True, False]).head(users)


def _other_items(catalogue: pl.DataFrame, items: Sequence[str]) -> str:
    """What to ask instead for items that nobody bought yet: who wants their kind."""
    kinds = catalogue.filter(pl.col(t.ITEM_ID).is_in(items)).select(pl.coalesce(t.SUBCATEGORY, t.CATEGORY))
    kind = kinds.to_series().drop_nulls().unique().sort()
    return f"; for who wants others of their kind, run `make campaign CATEGORY='{kind[0]}'`" if len(kind) == 1 else ""


def users_of_bucket(
    bucket: int, *, work: Work, recommender: Recommender, items: Sequence[str], users: int
) -> pl.DataFrame:
    """The same for one bucket's users."""
    rows = list_rows(bucket, work)
    refused = work.reader.read(t.USERS).filter(~pl.col(t.HAS_MARKETING_CONSENT))
    asked = rows.join(refused, on=t.USER_ID, how="anti", maintain_order="left")
    return work.load_model().find_users(asked, items, users, list_rules(work, recommender)).select(COLUMNS)
