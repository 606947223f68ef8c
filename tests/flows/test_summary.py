"""What is told at the end: ids of a shop as they are, whatever signs they hold, and what figures are of."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from everstay import tables as t
from everstay.lake import Lake, commit_staged, stage_events
from everstay.metrics.comparison import Interval
from everstay.partitions import IN_PROCESS
from everstay.registry.refs import ModelRef, RunRef
from everstay.report import Section
from everstay.report.document import Badge
from everstay.settings import Churn, Settings
from flows.candidates import Training
from flows.report_sections import warning_section
from flows.summary import print_published, print_section, print_training
from tests.lake.test_ingest import FrameChunk, purchases
from tests.publishing import publish

AS_OF = datetime(2023, 1, 9, tzinfo=UTC)


def test_users_items_and_reasons_with_brackets(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    lake = Lake(str(tmp_path / "lake"), 1)
    commit_staged(stage_events(lake, [FrameChunk("a", purchases(0, 216))], IN_PROCESS, max_quarantined_share=0))
    row = {t.USER_ID: "[/ann]", t.AS_OF: AS_OF, t.MODEL_VERSION: "1", t.DATA_VERSION: "events-0"}
    scores = {**row, t.CHURN_PROBABILITY: 0.5, t.RISK_TIER: "high", t.REASONS: [["from [outlet]"]]}
    lists = {**row, t.RANK: 1, t.ITEM_ID: "[red]", t.SCORE: 1.0, t.REASON: "popular"}
    for table, told in ((t.CHURN_SCORES, scores), (t.RECOMMENDATIONS, lists)):
        absent = [pl.lit(None, dtype).alias(name) for name, dtype in table.columns.items() if name not in told]
        publish(lake, table, table.conform(pl.DataFrame(told).with_columns(absent)), as_of=AS_OF, key="k")
    print_published(lake, AS_OF, Churn(), "")
    page = capsys.readouterr().out
    assert "No change is told" not in page
    for words in ("[/ann]", "[red]", "from [outlet]", "Value at risk is in the shop's currency."):
        assert words in page
    print_published(lake, AS_OF, Churn(), "EUR")
    assert "Value at risk is in EUR." in capsys.readouterr().out


@pytest.mark.parametrize(("change", "lacking"), [(-0.25, False), (None, True)])
def test_why_no_change_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: float, lacking: bool):
    lake = Lake(str(tmp_path / "lake"), 1)
    commit_staged(stage_events(lake, [FrameChunk("a", purchases(0, 216))], IN_PROCESS, max_quarantined_share=0))
    told = {t.USER_ID: "ann", t.AS_OF: AS_OF, t.MODEL_VERSION: "1", t.DATA_VERSION: "events-0", t.REASONS: [["late"]]}
    told |= {t.CHURN_PROBABILITY: 0.5, t.RISK_TIER: "high", t.PREVIOUS_PROBABILITY: 0.75, t.PROBABILITY_CHANGE: change}
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in t.CHURN_SCORES.columns.items() if name not in told]
    scores = t.CHURN_SCORES.conform(pl.DataFrame(told).with_columns(absent))
    publish(lake, t.CHURN_SCORES, scores, as_of=AS_OF, key="k")
    print_published(lake, AS_OF, Churn(), "")
    section = warning_section(lake, AS_OF, Settings(), AS_OF)
    for page in (capsys.readouterr().out, " ".join(section.words)):
        assert ("No change is told: what was published before was of another gap or horizon" in page) == lacking


@pytest.mark.parametrize("sample", [None, "trained and tested on a fixed sample: about 28% of 36,162 users"])
def test_that_a_sample_of_the_users_was_judged(sample: str | None, capsys: pytest.CaptureFixture[str]):
    told = {"validation_average_precision": Interval(0.5, 0.4, 0.6)}
    run = RunRef("churn", "r", "recency", "m", "d", "v", "2024-01-01", told)
    champion = ModelRef("churn", "1", "r", "m", "recency", "d", "v", "2024-01-01")
    print_training(Training("churn", (run,), champion, Path(), "average_precision", ("recency",), sample))
    page = " ".join(capsys.readouterr().out.split())
    assert "0.5000 (0.400–0.600)" in page
    assert ("All candidates were" in page, str(sample) in page) == (sample is not None, sample is not None)


@pytest.mark.parametrize(
    ("metric", "shown"),
    [("ndcg", ["ndcg", "recall"]), ("recall", ["recall", "ndcg"]), ("hit_rate", ["hit rate", "ndcg", "recall"])],
)
def test_the_figure_that_decides_is_told_first_and_once(
    metric: str, shown: list[str], capsys: pytest.CaptureFixture[str]
):
    told = {f"validation_{name}": Interval(0.5, 0.4, 0.6) for name in ("ndcg", "recall", "hit_rate")}
    run = RunRef("recommender", "r", "ease", "m", "d", "v", "2024-01-01", told)
    challenger = ModelRef("recommender", "1", "r", "m", "ease", "d", "v", "2024-01-01")
    print_training(Training("recommender", (run,), challenger, Path(), metric, ("ease",)))
    heads = [line.split("┃")[2:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("┃")]
    columns = [" ".join(" ".join(words).split()) for words in zip(*heads, strict=True)]
    assert columns == [f"{part} {name}" for name in shown for part in ("validation", "test")]


@pytest.mark.parametrize(
    ("share", "words"), [(0.0, "get popular items; 9.0%"), (0.02, "popular items (2.0% in their segment); 9")]
)
def test_what_is_left_to_fallbacks(share: float, words: str, capsys: pytest.CaptureFixture[str]):
    told = {"validation_ndcg": Interval(0.5, 0.4, 0.6)}
    cold = {"user": 0.05, "item": 0.09, "user_segment": share}
    told |= {f"test_cold_{kind}_share": Interval(one, one, one) for kind, one in cold.items()}
    run = RunRef("recommender", "r", "ease", "m", "d", "v", "2024-01-01", told)
    challenger = ModelRef("recommender", "1", "r", "m", "ease", "d", "v", "2024-01-01")
    print_training(Training("recommender", (run,), challenger, Path(), "ndcg", ("ease",)))
    assert words in " ".join(capsys.readouterr().out.split())


def test_key_figures_of_a_section(capsys: pytest.CaptureFixture[str]):
    print_section(Section("Users [all]", badges=(Badge("users", "[12]"),)))
    assert "Users [all]" in (page := capsys.readouterr().out)
    assert "users: [12]" in page
