"""Users for a campaign: whom it may not be sent to is on no list."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from everstay import tables as t
from everstay.scoring import Work
from everstay.scoring.campaigns import users_of_bucket
from everstay.settings import Recommender


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
