"""Settings: file, then variables; unknown keys are errors that name the nearest valid one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from everstay.errors import SettingsError
from everstay.settings import Settings, load_settings

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "shop.toml"
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(file))
    return file


def test_a_line_of_the_file_changes_the_setting(settings_file: Path):
    settings_file.write_text("[churn]\nhorizon_days = 60\n")
    assert load_settings().churn.horizon_days == 60
    assert load_settings().churn.look_back_days == 84


@pytest.mark.parametrize("names", [["boosting", "blend"], ["network", "boosting", "recency", "blend", "svm"]])
def test_a_blend_of_what_is_named_before_it(settings_file: Path, names: list[str]):
    settings_file.write_text(f"[churn]\ncandidates = {names}\n")
    assert load_settings().churn.candidates == tuple(names)


@pytest.mark.parametrize(
    ("table", "column", "section", "key"),
    [
        ("churn_labels", "horizon_days", "churn", "horizon_days"),
        ("recommendations", "rank", "recommender", "list_length"),
    ],
)
def test_what_a_suite_would_refuse_after_the_work_is_refused_before_it(
    settings_file: Path, table: str, column: str, section: str, key: str
):
    suite = json.loads((REPOSITORY / "expectations" / f"{table}.json").read_text())
    (most,) = {
        entry["kwargs"]["max_value"]
        for entry in suite["expectations"]
        if entry["kwargs"].get("column") == column and "max_value" in entry["kwargs"]
    }
    settings_file.write_text(f"[{section}]\n{key} = {most}\n")
    assert getattr(getattr(load_settings(), section), key) == most
    settings_file.write_text(f"[{section}]\n{key} = {most + 1}\n")
    with pytest.raises(SettingsError, match=rf"{section}\.{key}"):
        load_settings()


PLACES = """
report_folder = "~/reports"
expectations_folder = "~"
[data]
folder = "~/lake"
[mlflow]
tracking_uri = "sqlite:///~/mlruns/mlflow.db"
artifacts = "s3://bucket/~/models"
[source.files]
events = "~/exports/*.csv"
items = "exports/~items.csv"
"""


def test_a_tilde_is_the_home_folder_of_the_account(settings_file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/shop")
    settings_file.write_text(PLACES)
    settings = load_settings()
    assert (settings.report_folder, settings.expectations_folder) == ("/home/shop/reports", "/home/shop")
    assert settings.data.folder == "/home/shop/lake"
    assert settings.mlflow.tracking_uri == "sqlite:////home/shop/mlruns/mlflow.db"
    assert settings.mlflow.artifacts == "s3://bucket/~/models"
    assert (settings.source.files.events, settings.source.files.items) == (
        "/home/shop/exports/*.csv",
        "exports/~items.csv",
    )


def test_a_variable_overrides_the_file(settings_file: Path, monkeypatch: pytest.MonkeyPatch):
    settings_file.write_text("[churn]\nhorizon_days = 60\nlook_back_days = 100\n")
    monkeypatch.setenv("EVERSTAY_CHURN__HORIZON_DAYS", "90")
    assert load_settings().churn.horizon_days == 90
    assert load_settings().churn.look_back_days == 100


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[churn]\nhorzon_days = 60", "unknown key 'churn.horzon_days'; did you mean 'churn.horizon_days'?"),
        ("[chrun]\nhorizon_days = 60", "unknown key 'chrun'; did you mean 'churn'?"),
        ("[source.files]\ncolums = {}", "did you mean 'source.files.columns'?"),
        ("[source]\ncurrency = 'euro'", "source.currency: String should match pattern"),
        ("[source.database]\nurl = 'postgresql://a:b@host/shop'", "unknown key 'source.database.url'"),
        ("[source.files]\nwithout_user = 'drop'", "source.files.without_user: Input should be 'refuse' or 'keep'"),
        ("[data]\nzzzzzz = 1", "valid keys are folder, buckets"),
        ("[churn]\nhorizon_days = 0", "churn.horizon_days: Input should be greater than 0"),
        ("[churn]\ncandidates = ['magic']", "churn.candidates.0"),
        ("[churn]\ncandidates = []", "churn.candidates: Tuple should have at least 1 item"),
        (
            "[recommender]\ncandidates = ['ease', 'ials', 'ease']",
            "recommender.candidates: Value error, 'ease' is listed twice",
        ),
        (
            "[fairness]\nattributes = ['age_band', 'age_band']",
            "fairness.attributes: Value error, 'age_band' is listed twice",
        ),
        (
            "[recommender.lists]\nblocked_categories = ['tea', 'wine', 'tea']",
            "recommender.lists.blocked_categories: Value error, 'tea' is listed twice",
        ),
        ("[churn]\nlook_back_days = 99999999999", "churn.look_back_days: Input should be less than or equal to 36500"),
        ("[data]\nfolder = ''", "data.folder: String should have at least 1 character"),
        ("[training]\nseed = -1", "training.seed: Input should be greater than or equal to 0"),
        ("[churn]\nhigh_risk_share = 0.5", "high_risk_share must be below medium_risk_share"),
        ("[churn]\ncandidates = ['recency', 'blend']", "blend averages those of boosting, network, purchase_process"),
        (
            "[churn]\ncandidates = ['boosting', 'blend', 'network']",
            "that candidates list: list one or more, all before blend",
        ),
        (
            "horizon_days = 60",
            "'horizon_days'; it exists as 'churn.horizon_days' and 'recommender.horizon_days' and 'value",
        ),
        ("[churn]\nunit_price = 'x'", "it exists as 'source.files.unit_price' and 'source.database.unit_price'"),
        (
            "[churn]\ncandidates = 'recency'",
            'churn.candidates: must be a list, for example ["one", "two"] (given: \'rec',
        ),
        ("churn = 3", "churn: is a section with its own keys, not a value (given: 3)"),
        ("as_of = 20171202", "as_of: must be a date without a time, for example 2017-12-02 (given: 20171202)"),
        ("as_of = 'tomorrow'", "as_of: must be a date, for example 2017-12-02 (given: 'tomorrow')"),
        ("as_of = 0001-01-01", "as_of: Input should be greater than or equal to 1990-01-01 (given: "),
        ("score_as_of = 1989-12-31", "score_as_of: Input should be greater than or equal to 1990-01-01 (given: "),
        (
            "[source.database]\noverlap_hours = 1000000000",
            "source.database.overlap_hours: Input should be less than or equal to 876000",
        ),
        ("[source.store_twin]\nseed = -1", "source.store_twin.seed: Input should be greater than or equal to 0"),
        ("[value]\nbudget = inf", "value.budget: Input should be a finite number (given: inf)"),
        ("[value]\noffer_cost = inf", "value.offer_cost: Input should be a finite number"),
        ("[recommender.lists]\nfresh_half_life_days = inf", "lists.fresh_half_life_days: Input should be a finite"),
        ("[data]\nbuckets = 1000000000", "data.buckets: Input should be less than or equal to 100000"),
        ("[churn\nhorizon_days = 60", "shop.toml"),
    ],
)
def test_a_mistake_is_told_with_its_place(settings_file: Path, line: str, words: str):
    settings_file.write_text(line)
    with pytest.raises(SettingsError) as told:
        load_settings()
    assert words in str(told.value)
    assert "shop.toml" in str(told.value)


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("EVERSTAY_CHURN__HORZON_DAYS", "did you mean 'churn.horizon_days'?"),
        ("EVERSTAY_CHRUN__HORIZON_DAYS", "unknown key 'chrun'; did you mean 'churn'?"),
        ("EVERSTAY_SETTING", "did you mean EVERSTAY_SETTINGS?"),
        ("EVERSTAY_DATABASE_URI", "did you mean EVERSTAY_DATABASE_URL?"),
    ],
)
def test_a_misspelt_variable_is_an_error(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, words: str
):
    settings_file.write_text("")
    monkeypatch.setenv(variable, "60")
    with pytest.raises(SettingsError) as told:
        load_settings()
    assert words in str(told.value)


def test_the_database_s_url_is_a_secret_beside_the_settings(settings_file: Path, monkeypatch: pytest.MonkeyPatch):
    settings_file.write_text("[source]\nkind = 'database'\n")
    monkeypatch.setenv("EVERSTAY_DATABASE_URL", "postgresql://reader:secret@host/shop")
    assert "secret" not in load_settings().model_dump_json()


def test_a_named_file_must_exist(settings_file: Path):
    with pytest.raises(SettingsError, match=r"shop\.toml, which does not exist"):
        load_settings()


def test_a_folder_is_no_file(settings_file: Path):
    settings_file.mkdir()
    with pytest.raises(SettingsError, match=r"shop\.toml, which is a folder"):
        load_settings()


def test_messages_speak_of_the_settings_for_their_file_may_be_named_otherwise():
    files = [file for room in ("src", "flows") for file in (REPOSITORY / room).rglob("*.py")]
    assert [file.name for file in files if "everstay.toml" in file.read_text()] == ["settings.py"]


def test_the_repository_s_own_file_is_valid_and_says_what_the_defaults_say(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EVERSTAY_SETTINGS", str(REPOSITORY / "everstay.toml"))
    assert load_settings().model_dump() == default_settings(monkeypatch).model_dump()


def keys_of(section: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """The keys of a section and of those in it, but not the sections."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from ((f"{name}.{key}", described) for key, described in keys_of(inner))
        else:
            yield name, field


def test_every_key_is_described():
    keys = dict(keys_of(Settings))
    assert len(keys) > 80
    assert [name for name, field in keys.items() if not field.description] == []


def default_settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERSTAY_SETTINGS", "/dev/null")
    return load_settings()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CHURN__CANDIDATES", "recency,logistic", """churn.candidates: must be a list, for example ["one", "two"]"""),
        ("RECOMMENDER__CANDIDATES", "popularity", "recommender.candidates: must be a list, for example ["),
        (
            "RECOMMENDER__LISTS__BLOCKED_CATEGORIES",
            "['a']",
            "recommender.lists.blocked_categories: must be a list, for",
        ),
        ("CHURN", "none", "churn: is a section with its own keys, not a value (given: 'none')"),
    ],
)
def test_a_variable_that_is_no_json_is_told_with_its_key(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
):
    settings_file.write_text("")
    monkeypatch.setenv(f"EVERSTAY_{variable}", value)
    with pytest.raises(SettingsError) as told:
        load_settings()
    assert words in str(told.value)


def test_a_list_in_a_variable_is_json(settings_file: Path, monkeypatch: pytest.MonkeyPatch):
    settings_file.write_text("")
    monkeypatch.setenv("EVERSTAY_CHURN__CANDIDATES", '["recency", "svm"]')
    assert load_settings().churn.candidates == ("recency", "svm")
