"""A preview of a shop's files: counts by hand, problems with examples, readiness by the rules of training."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from everstay import tables as t
from everstay.errors import DataRejected
from everstay.features import churn_labels
from everstay.lake import Lake, stage_entities
from everstay.partitions import IN_PROCESS
from everstay.preview import Check, Survey, check_readiness, survey_source
from everstay.preview.__main__ import main
from everstay.preview.readiness import order_gaps
from everstay.settings import Recommender, Settings, load_settings
from everstay.sources import open_source
from everstay.sources.store_twin import write_parquet
from everstay.storage import Folder
from everstay.validation import validate

ENTITIES = "Are items, users and treatments as expected?"
START = datetime(2024, 1, 1, tzinfo=UTC)
SETTINGS = """
[source]
kind = "files"
currency = "EUR"
max_quarantined_share = 0.5
files = {{events = "{folder}/events.csv", items = "{items}", without_user = "keep", chunk_rows = {chunk_rows}}}

[churn]
look_back_days = 28
horizon_days = 14
allowed_lateness_days = 0

[recommender]
horizon_days = 14

[data]
folder = "{folder}/lake"
"""
ROWS = (
    "user_id,occurred_at,event_type,item_id,order_id,quantity,amount\n"
    "ann,2024-05-01,view,A,,,\n"
    "ann,2024-05-02,purchase,A,1,2,10.5\n"
    "bob,2024-05-09,purchase,B,2,1,2\n"
    ",2024-05-04,purchase,,3,1,2\n"
    "bob,2024-05-06,purchase,B,4,-1,2\n"
    "bob,2024-05-07,purchase,B,5,-12,2\n"
    "cat,yesterday,purchase,B,6,1,2\n"
    "ann,2024-05-01,view,A,,,\n"
)


BY_ORDER = "event_id,user_id,occurred_at,event_type,item_id\n" + "".join(
    f"order{line // 4},ann,2024-05-{line + 1:02},purchase,A\n" for line in range(8)
)


def settings_of(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str = ROWS, items: str = "") -> Settings:
    (folder / "events.csv").write_text(content)
    file = folder / "shop.toml"
    file.write_text(SETTINGS.format(folder=folder, items=items, chunk_rows=2 if len(content) < 2_000 else 5_000))
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(file))
    return load_settings()


def survey_of(settings: Settings) -> Survey:
    return survey_source(open_source(settings.source), Path(settings.expectations_folder))


def answers(checks: list[Check]) -> dict[str, str]:
    return {check.question: check.verdict for check in checks}


def test_a_survey_counts_what_would_happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survey = survey_of(
        settings_of(tmp_path, monkeypatch, ROWS.replace("view,A,,,", "view,A,,,7"))
    )  # a look is not paid
    assert (survey.rows_read, survey.rows_refused, survey.rows_anonymous, survey.rows_kept) == (8, 3, 1, 5)
    assert survey.rows_by_type == {t.PURCHASE: 3, t.VIEW: 2}
    assert (survey.users, survey.items, survey.paid, survey.purchases_with_item) == (2, 2, 14.5, 2)
    assert (survey.first_at, survey.last_at) == (datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 9, tzinfo=UTC))
    assert survey.filled[t.USER_ID] == 4
    assert survey.filled[t.ORDER_ID] == 3
    assert survey.first_rows[t.USER_ID].to_list() == ["ann", "ann", "bob", "anonymous:3", "ann"]
    assert survey.repeated_share == 1 / 4
    assert survey.sample.height == 3


def test_problems_are_counted_by_kind_with_the_first_as_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = survey_of(settings_of(tmp_path, monkeypatch)).problems
    assert [problem.rows for problem in problems] == [2, 1]
    assert problems[0].words == "quantity: … is negative; if that means a return, set negative_quantity to return"
    assert problems[0].example == "quantity: -1 is negative; if that means a return, set negative_quantity to return"
    assert problems[0].place == f"{tmp_path}/events.csv, row 5"
    assert problems[1].words.startswith("occurred_at: … is not a time")


def test_nothing_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    settings_of(tmp_path, monkeypatch)
    before = sorted(tmp_path.rglob("*"))
    assert main() == 1
    assert sorted(tmp_path.rglob("*")) == before
    page = capsys.readouterr().out
    for words in (
        "anonymous:3",
        "2 users, 2 items, paid 14.50 EUR",
        "1 rows (20.0%) are anonymous events",
        "Not ready: 3 of 5",
    ):
        assert words in page


def test_a_shop_that_is_enough_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """The base rate is the one that training would see; a row of the store twin is a row of a shop."""
    file = tmp_path / "twin.toml"
    file.write_text('[source]\nkind = "store_twin"\nstore_twin = {users = 600, items = 60, days = 300, seed = 3}\n')
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(file))
    settings = load_settings()
    survey = survey_of(settings)
    checks = check_readiness(survey, settings)
    assert set(answers(checks).values()) <= {"good", "look"}
    known_at = survey.recorded_until + timedelta(milliseconds=1)
    as_of = known_at.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=30)
    events = pl.concat([frame for chunk in open_source(settings.source).event_chunks() for frame in chunk.read()])
    labels = churn_labels(events, as_of, settings.churn, known_at)
    assert f"{labels.height:,} users bought in the 84 days before" in checks[4].words
    later = settings.model_copy(update={"recommender": Recommender(horizon_days=60)})
    assert f"tested as of {as_of - timedelta(days=30):%Y-%m-%d}" in check_readiness(survey, later)[3].words
    assert f"{labels[t.CHURNED].mean():.1%} of them bought nothing in the 28 days after" in checks[5].words
    assert main() == 0
    assert "Ready: `make ingest`" in capsys.readouterr().out


def test_a_small_share_is_told_as_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path, monkeypatch)
    strict = settings.source.model_copy(update={"max_quarantined_share": 0.004})
    (stored, *_) = check_readiness(survey_of(settings), settings.model_copy(update={"source": strict}))
    assert "more than source.max_quarantined_share allows (0.4%)" in stored.words


def shop(users: int, days: int, every: int) -> str:
    """Everybody buys every so many days; half of them leave in the middle."""
    rows = [
        f"u{user},{START + timedelta(days=day):%Y-%m-%d},purchase,A,{user}-{day},1,1"
        for user in range(users)
        for day in range(user % every, days if user % 2 else days // 2, every)
    ]
    return "user_id,occurred_at,event_type,item_id,order_id,quantity,amount\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("content", "question", "verdict", "words"),
    [
        (ROWS, "Can the rows be stored?", "good", "3 of 8 rows (37.50%) cannot be stored; they would go to the quar"),
        (ROWS + "dan,now,view,,,,\n" * 2, "Can the rows be stored?", "good", "5 of 10 rows (50.00%)"),
        (ROWS + "dan,now,view,,,,\n" * 4, "Can the rows be stored?", "stop", "more than source.max_quarantined_share"),
        (ROWS.replace("purchase", "cart"), "Are there purchases?", "stop", "map the type of an order to purchase"),
        (ROWS, "Are there purchases?", "stop", "33.3% do not name what was bought"),
        (shop(50, 200, 5).replace("2024-", "2094-"), "Can the rows be stored?", "stop", "(100.00%) cannot be stored"),
        (
            BY_ORDER,
            "Is every event_id unique?",
            "stop",
            "75.00% of the users' rows share the event_id of a row",
        ),
        (
            shop(50, 20, 5),
            "Is the history long enough?",
            "stop",
            "19 days, 1.4 times churn.horizon_days (14); at least",
        ),
        (shop(50, 45, 5), "Is the history long enough?", "stop", "too short to train"),
        (shop(50, 60, 5), "Is the history long enough?", "look", "a third of the users is held out"),
        (shop(50, 200, 5), "Is the history long enough?", "good", "tested as of 2024-07-04"),
        (
            shop(30, 200, 5),
            "Are there enough users?",
            "stop",
            "0 left and 15 stayed: too few to learn from; bring more",
        ),
        (shop(1_200, 120, 5), "Are there enough users?", "stop", "too few to learn from; shorten churn.horizon_days"),
    ],
)
def test_what_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, question: str, verdict: str, words: str
) -> None:
    settings = settings_of(tmp_path, monkeypatch, content)
    check = next(check for check in check_readiness(survey_of(settings), settings) if check.question == question)
    assert check.verdict == verdict, check.words
    assert words in check.words


def test_tables_that_ingestion_would_reject_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "items.csv").write_text("item_id,category,brand,price\nA,c,b,2\nB,,b,-1\n")
    (tmp_path / "users.csv").write_text("user_id,has_marketing_consent\nu1,true\n")
    (tmp_path / "sent.csv").write_text("campaign_id,user_id,arm,assigned_at,propensity\nc,u1,a,2024-02-01,0\n")
    settings = settings_of(tmp_path, monkeypatch, shop(50, 200, 5), items=f"{tmp_path}/items.csv")
    more = {"users": f"{tmp_path}/users.csv", "treatments": f"{tmp_path}/sent.csv"}
    files = settings.source.files.model_copy(update=more)
    settings = settings.model_copy(update={"source": settings.source.model_copy(update={"files": files})})
    survey = survey_of(settings)
    checks = [check for check in check_readiness(survey, settings) if check.question == ENTITIES]
    assert [check.verdict for check in checks] == ["stop", "stop", "look"]
    price, propensity, category = (check.words for check in checks)
    assert "items: price: A price is not negative and below a hundred billion (1 of 2 rows (50.00%); " in price
    assert "price = -1.0 where item_id = B" in price
    assert "treatments: propensity: A propensity is above 0 and at most 1 (1 of 1 rows (100.00%); " in propensity
    assert "items: category: 90% of the items have a category (1 of 2 rows (50.00%); " in category
    lake = Lake(str(tmp_path / "lake"), 2)
    staged = stage_entities(lake, open_source(settings.source), Folder(str(tmp_path / "staged")))
    for table in (t.ITEMS, t.TREATMENTS):
        with pytest.raises(DataRejected, match="fails 1 critical"):
            validate(table, staged.reader(table), (0,), IN_PROCESS).raise_for_failures()


def test_tables_that_are_as_expected_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "items.csv").write_text("item_id,category,brand,price\nA,c,b,2\n")
    settings = settings_of(tmp_path, monkeypatch, items=f"{tmp_path}/items.csv")
    survey = survey_of(settings)
    (check,) = (check for check in check_readiness(survey, settings) if check.question == ENTITIES)
    assert check.verdict == "good", check.words
    assert [(one.table, one.rows) for one in survey.entities] == [("items", 1), ("users", 0), ("treatments", 0)]


def test_the_as_of_of_the_settings_is_the_one_that_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path, monkeypatch, shop(50, 200, 5)).model_copy(update={"as_of": date(2024, 6, 1)})
    history, users = check_readiness(survey_of(settings), settings)[3:5]
    assert "tested as of 2024-06-01" in history.words
    assert "days before 2024-06-01" in users.words


@pytest.mark.parametrize(("basket_days", "known_until"), [(28, "2024-06-20"), (60, "2024-05-19")])
def test_an_as_of_whose_outcomes_are_not_known_yet_is_told_as_training_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, basket_days: int, known_until: str
) -> None:
    settings = settings_of(tmp_path, monkeypatch, shop(50, 200, 5))
    recommender = settings.recommender.model_copy(update={"horizon_days": basket_days})
    late = settings.model_copy(update={"as_of": date(2024, 6, 21), "recommender": recommender})
    check = check_readiness(survey_of(late), late)[-1]
    assert check.verdict == "stop"
    assert f"as_of is 2024-06-21, but who left and what was bought next is only known up to {known_until}" in (
        check.words
    )


def test_a_horizon_that_is_too_short_is_told_with_the_one_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, monkeypatch, shop(300, 200, 20))
    check = check_readiness(survey_of(settings), settings)[-1]
    assert check.question == "Is the churn rate plausible?"
    assert "half of all repeat orders come within 20 days, nine in ten within 20" in check.words


def test_gaps_are_between_days_with_orders() -> None:
    days = [0, 0, 1, 11, 0]
    users = ["a", "a", "a", "a", "b"]
    moments = [START + timedelta(days=day, hours=hour) for hour, day in enumerate(days)]
    sample = pl.DataFrame({t.USER_ID: users, t.OCCURRED_AT: moments, t.EVENT_TYPE: t.PURCHASE})
    assert order_gaps(sample) == (5.5, 10.0)


def test_brackets_of_a_shop_are_shown_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings_of(tmp_path, monkeypatch, ROWS.replace("A,,", "[/A],,").replace("yesterday", "[red]:smile:"))
    assert main() == 1
    page = capsys.readouterr().out
    for words in ("[/A]", "'[red]:smile:' is not", "stop"):
        assert words in page


def test_no_events_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    settings_of(tmp_path, monkeypatch, "user_id,occurred_at,event_type\na,never,view\n")
    assert main() == 1
    assert "1 rows were read, none of them can be stored." in capsys.readouterr().out


def test_a_source_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings_of(tmp_path, monkeypatch, items="absent.csv")
    assert main() == 1
    assert "everstay: no file matches 'absent.csv'" in capsys.readouterr().err


def test_columns_show_whose_they_are_and_how_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    settings = settings_of(tmp_path, monkeypatch, ROWS.replace("user_id", "customer"))
    file = tmp_path / "shop.toml"
    file.write_text(file.read_text().replace("chunk_rows = 2", 'columns = {user_id = "customer"}'))
    assert settings.source.files.columns == {}
    main()
    assert "│ user_id     │ customer │  80.0% │" in capsys.readouterr().out


def test_the_twin_s_files_give_the_twin_s_survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path, monkeypatch)
    twin = Settings().source.store_twin.model_copy(update={"users": 60, "items": 20, "days": 60})
    write_parquet(tmp_path, twin)
    files = settings.source.files.model_copy(update={"events": f"{tmp_path}/events-*.parquet", "chunk_rows": 100_000})
    direct = settings.source.model_copy(update={"kind": "store_twin", "store_twin": twin})
    ours, theirs = (
        survey_of(settings.model_copy(update={"source": direct})),
        survey_of(settings.model_copy(update={"source": settings.source.model_copy(update={"files": files})})),
    )
    assert (ours.rows_read, ours.rows_by_type, ours.users, ours.items) == (
        theirs.rows_read, theirs.rows_by_type, theirs.users, theirs.items,
    )  # fmt: skip
