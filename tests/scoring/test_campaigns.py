"""Users for a campaign: whom it may not be sent to is on no list."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import NotReady
from everstay.partitions import IN_PROCESS
from everstay.scoring import Work
from everstay.scoring.campaigns import find_campaign_users, users_of_bucket
from everstay.settings import Recommender
from everstay.storage import Folder

from .conftest import ToyRecommender


def test_who_refused_marketing_is_left_out_and_who_was_never_asked_is_not(make_work: Callable[..., Work]):
    work = make_work("recommender", 1)
    consent = pl.DataFrame({t.USER_ID: ["u1", "u2", "u3"], t.HAS_MARKETING_CONSENT: [False, None, True]})
    found = {}
    for users in (consent.clear(), consent):
        asked = replace(work, reader=replace(work.reader, users=t.USERS.conform(users)))  # type: ignore[type-var]
        rows = users_of_bucket(0, work=asked, recommender=Recommender(), items=["i0"], users=99)
        found[users.height] = set(rows[t.USER_ID])
    assert found[0] > {"u1", "u2", "u3"}
    assert found[3] == found[0] - {"u1"}


@pytest.mark.parametrize(
    ("items", "advice"),
    [
        (["new soap", "new brush"], "id is wrong$"),
        (["new soap", "no such item"], "id is wrong; for who .* run `make campaign CATEGORY='soap'`$"),
        (["new comb"], "id is wrong; for who .* run `make campaign CATEGORY='care'`$"),
        (["no such item"], "id is wrong$"),
    ],
)
def test_items_that_nobody_bought_yet_are_refused_with_the_name_of_their_kind(
    make_work: Callable[..., Work], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, items: list[str], advice: str
):
    vocabulary = SimpleNamespace(items=pl.DataFrame({t.ITEM_ID: ["i0"]}))
    monkeypatch.setattr(ToyRecommender, "vocabulary", vocabulary, raising=False)
    work = make_work("recommender", 1)
    kinds = {"new soap": "soap", "new brush": "brush", "new comb": None}
    catalogue = {t.ITEM_ID: list(kinds), t.CATEGORY: "care", t.SUBCATEGORY: list(kinds.values())}
    work = replace(work, reader=replace(work.reader, items=t.ITEMS.conform(pl.DataFrame(catalogue))))  # type: ignore[type-var]
    with pytest.raises(NotReady, match=advice):
        find_campaign_users(work, Recommender(), items, 9, Folder(str(tmp_path / "found")), IN_PROCESS)
