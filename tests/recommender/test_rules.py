"""The shop's rules: not one violation, whatever the catalogue, the settings and the scores."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from everstay import tables as t
from everstay.errors import NotReady, SettingsError
from everstay.recommender.candidates import candidate_key
from everstay.recommender.excluded import Scores
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.model import ListModel
from everstay.recommender.rules import ItemRules, ListRules
from everstay.recommender.vocabulary import Vocabulary
from everstay.settings import Recommender, Settings

from .conftest import AS_OF, basket_rows

K = 6
POLICIES = ("keep", "after_gap", "remove")
CATEGORIES = ("food", "drink", "home")
SUBCATEGORIES = ("tea", "wine", "soap")


class Seed(BaseModel):
    """Of the scores."""

    seed: int = 0


@dataclass(frozen=True)
class RandomRanker:
    """Any scores at all."""

    items: int
    config: Seed = field(default_factory=Seed)

    def scores(self, histories: Histories) -> Scores:
        generator = np.random.default_rng(self.config.seed)
        return generator.random((histories.user_count, self.items), dtype=np.float32)

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        return ["by chance"] * len(item)


def catalogue(vocabulary: Vocabulary, seed: int) -> pl.DataFrame:
    """Some of the items, some without category, some not yet or no longer on sale."""
    generator = np.random.default_rng(seed)
    rows = []
    for item in vocabulary.items[t.ITEM_ID]:
        begin, end = (AS_OF + timedelta(days=int(days)) for days in generator.integers((-90, -30), (9, 90)))
        row = {
            t.ITEM_ID: item,
            t.CATEGORY: generator.choice([*CATEGORIES, None]),
            t.SUBCATEGORY: generator.choice([*SUBCATEGORIES, None]),
            t.AVAILABLE_FROM: generator.choice([begin, AS_OF, None]),
            t.AVAILABLE_UNTIL: generator.choice([end, AS_OF, None]),
        }
        rows += [row] if generator.random() < 0.9 else []
    names = ({t.ITEM_ID: f"named-{kind}", t.CATEGORY: kind, t.SUBCATEGORY: kind} for kind in CATEGORIES + SUBCATEGORIES)
    return t.ITEMS.conform(pl.DataFrame([*rows, *names], schema_overrides=dict.fromkeys(_TIMES, t.TIME)))


_TIMES = (t.AVAILABLE_FROM, t.AVAILABLE_UNTIL)


def usual_gaps(rows: pl.DataFrame) -> dict[str, float]:
    """Median days between two purchases of an item by the same user, the slow way."""
    gaps: dict[str, list[float]] = {}
    for items, days in rows.select("history_item", "history_days_ago").iter_rows():
        last: dict[str, float] = {}
        for item, ago in zip(items or [], days or [], strict=True):
            if item in last:
                gaps.setdefault(item, []).append(last[item] - ago)
            last[item] = ago
    return {item: float(np.median(known)) for item, known in gaps.items()}


def violations(lists: pl.DataFrame, rows: pl.DataFrame, items: pl.DataFrame, wanted: Recommender) -> list[str]:
    """What a list holds and must not, one by one."""
    gaps, catalogued = usual_gaps(rows), {row[t.ITEM_ID]: row for row in items.to_dicts()}
    bought: dict[tuple[str, str], float] = {}
    for user, names, days in rows.select(t.USER_ID, "history_item", "history_days_ago").iter_rows():
        bought |= {(user, item): ago for item, ago in zip(names or [], days or [], strict=True)}
    found = []
    for user, item in lists.select(t.USER_ID, t.ITEM_ID).iter_rows():
        known = catalogued.get(item, dict.fromkeys(t.ITEMS.columns))
        kinds = (known[t.SUBCATEGORY], known[t.CATEGORY])
        if any(kind in wanted.lists.blocked_categories for kind in kinds if kind):
            found.append(f"{item} is blocked")
        if not _is_on_sale(known[t.AVAILABLE_FROM], known[t.AVAILABLE_UNTIL]):
            found.append(f"{item} is not on sale")
        own = wanted.lists.already_bought_by_category
        policy = next((own[kind] for kind in kinds if kind in own), wanted.already_bought)
        if (user, item) in bought and policy != "keep":
            ago = bought[user, item]
            if policy == "remove" or ago < gaps.get(item, np.inf) - 1e-4:
                found.append(f"{user} bought {item} {ago} days ago")
    return found


def _is_on_sale(begin: datetime | None, end: datetime | None) -> bool:
    return (begin is None or begin <= AS_OF) and (end is None or end > AS_OF)


@given(
    seed=st.integers(0, 1_000),
    policy=st.sampled_from(POLICIES),
    by_category=st.dictionaries(st.sampled_from(CATEGORIES + SUBCATEGORIES), st.sampled_from(POLICIES), max_size=3),
    blocked=st.sets(st.sampled_from(CATEGORIES + SUBCATEGORIES), max_size=2),
    diversity=st.sampled_from([0.0, 0.4, 1.0]),
    freshness=st.sampled_from([0.0, 0.7]),
)
@settings(max_examples=20, deadline=None)
def test_no_list_breaks_a_rule(rows, vocabulary, seed, policy, by_category, blocked, diversity, freshness):
    lists = {
        "already_bought_by_category": by_category, "blocked_categories": tuple(blocked), "diversity": diversity,
        "freshness": freshness,
    }  # fmt: skip
    wanted = Recommender(already_bought=policy, lists=lists)
    items = catalogue(vocabulary, seed)
    model = ListModel("random", RandomRanker(vocabulary.size, Seed(seed=seed)), vocabulary, "keep")
    made = model.recommend(rows, K, ListRules.read(items, AS_OF, wanted))
    assert violations(made, rows, items, wanted) == []
    assert made.select(t.USER_ID, t.ITEM_ID).is_unique().all()
    allowed = model.recommend(rows, vocabulary.size, ListRules.read(items, AS_OF, wanted)).group_by(t.USER_ID).len()
    lengths = made.group_by(t.USER_ID).agg(pl.len().alias("length")).join(allowed, on=t.USER_ID)
    assert (lengths["length"] == lengths["len"].clip(upper_bound=K)).all()  # short only where nothing is left


@pytest.fixture
def weekly() -> pl.DataFrame:
    """Ann buys milk every 7 days, Bob every 11; both bought salt once."""
    orders = {
        "ann": [(22.0, ["milk", "salt"]), (15.0, ["milk"]), (8.0, ["milk"])],
        "bob": [(27.0, ["milk", "salt"]), (16.0, ["milk"]), (5.0, ["milk"])],
    }
    return basket_rows(orders)


def test_the_usual_gap_is_the_median_over_all_users(weekly: pl.DataFrame, rows: pl.DataFrame, vocabulary: Vocabulary):
    small = Vocabulary.learn(weekly, 1)
    assert dict(zip(small.items[t.ITEM_ID], small.usual_gap_days, strict=True)) == {"milk": 9.0, "salt": np.inf}
    slow = usual_gaps(rows)
    expected = [slow.get(item, np.inf) for item in vocabulary.items[t.ITEM_ID]]
    np.testing.assert_allclose(vocabulary.usual_gap_days, expected, rtol=1e-4)
    assert small.first_sold_days.tolist() == [27.0, 27.0]


@pytest.mark.parametrize(("days_later", "expected"), [(0, {"ann": [], "bob": []}), (1, {"ann": ["milk"], "bob": []})])
def test_an_item_is_due_again_after_its_usual_gap(weekly: pl.DataFrame, days_later: int, expected: dict):
    known = Vocabulary.learn(weekly, 1)
    later = weekly.with_columns(pl.col("history_days_ago") + days_later)
    model = ListModel("random", RandomRanker(2), known, "after_gap")
    lists = model.recommend(later, 2)
    assert {user: lists.filter(pl.col(t.USER_ID) == user)[t.ITEM_ID].to_list() for user in expected} == expected


def test_an_item_is_offered_from_the_moment_it_is_on_sale_and_none_is_newer_than_that(weekly: pl.DataFrame):
    begins = [AS_OF, AS_OF + timedelta(days=9)]
    items = t.ITEMS.conform(pl.DataFrame({t.ITEM_ID: ["milk", "salt"], t.AVAILABLE_FROM: begins}))
    rules = ItemRules.of(ListRules.read(items, AS_OF, Recommender()), known := Vocabulary.learn(weekly, 1))
    assert known.ids(rules.blocked).to_list() == ["salt"]
    assert rules.newness.tolist() == [1.0, 1.0]


def test_an_item_that_was_never_sold_is_new_only_where_the_catalogue_says_since_when(weekly: pl.DataFrame):
    begins = [None, None, AS_OF]
    items = t.ITEMS.conform(pl.DataFrame({t.ITEM_ID: ["milk", "old", "young"], t.AVAILABLE_FROM: begins}))
    known = Vocabulary.learn(weekly, 1, items.select(t.ITEM_ID), with_unsold=True)
    rules = ItemRules.of(ListRules.read(items, AS_OF, Recommender()), known)
    newness = dict(zip(known.items[t.ITEM_ID], rules.newness.tolist(), strict=True))
    assert 0 < newness["milk"] < 1
    assert (newness["old"], newness["young"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("blocked", "until", "words"),
    [
        (
            ("food",),
            None,
            "each one that the model knows is in recommender.lists.blocked_categories, or not on sale, by",
        ),
        ((), AS_OF, "each one that the model knows is not on sale, by its available_from and available_until"),
    ],
)
def test_rules_that_leave_no_item_are_told_by_name(
    weekly: pl.DataFrame, blocked: tuple[str, ...], until: datetime | None, words: str
):
    names = {t.ITEM_ID: ["milk", "salt"], t.CATEGORY: "food", t.AVAILABLE_UNTIL: until}
    items = t.ITEMS.conform(pl.DataFrame(names, schema_overrides={t.AVAILABLE_UNTIL: t.TIME}))
    rules = ListRules.read(items, AS_OF, Recommender(lists={"blocked_categories": blocked}))
    model = ListModel("random", RandomRanker(2), Vocabulary.learn(weekly, 1), "keep")
    with pytest.raises(SettingsError, match=words):
        model.recommend(weekly, 2, rules)


def test_a_category_that_does_not_exist_is_told_with_the_nearest(vocabulary: Vocabulary):
    wanted = Recommender(lists={"blocked_categories": ("fooood",)})
    with pytest.raises(SettingsError, match=r"'fooood'; did you mean 'food'\?"):
        ListRules.read(catalogue(vocabulary, 1), AS_OF, wanted)


def test_a_model_without_gaps_says_that_it_must_be_trained(weekly: pl.DataFrame):
    old = Vocabulary(Vocabulary.learn(weekly, 1).items.drop("usual_gap_days"))
    assert ListModel("random", RandomRanker(2), old, "keep").recommend(weekly, 2).height == 4
    with pytest.raises(NotReady, match="trained before usual_gap_days was learned: retrain it"):
        ListModel("random", RandomRanker(2), old, "after_gap").recommend(weekly, 2)


def test_rules_decide_what_is_published_and_not_what_is_trained():
    plain, strict = Recommender(), Recommender(lists={"blocked_categories": ("wine",)})
    assert plain.list_rules != strict.list_rules
    assert candidate_key("popularity", Settings(recommender=plain), "1") == candidate_key(
        "popularity", Settings(recommender=strict), "1"
    )
    removing = Settings(recommender=Recommender(already_bought="remove"))
    assert candidate_key("popularity", removing, "1") != candidate_key("popularity", Settings(), "1")
