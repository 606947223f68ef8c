"""Arguments that would be ignored are refused."""

import re

import pytest

from benchmarks.churn_quality import argument_parser, refuse_ignored


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--rolling 3", "--rolling needs one of --source, --as-of, --horizon-days, --candidates"),
        ("--cdnow --rolling 3", "--rolling needs one of --source"),
        ("--label Churn", "--label and --group need --table"),
        ("--group user month", "--label and --group need --table"),
        ("--source shop.toml --label Churn", "--label and --group need --table"),
        ("--table t.csv", "--table needs --label: the column that says who left"),
        ("--table t.csv --label Churn --rolling 2", "--rolling needs one of --source"),
        ("--table t.csv --label Churn --horizon-days 30", "--table and --source, --as-of, .* are different subjects"),
        ("--cdnow --table t.csv --label Churn", "--cdnow and --table are different subjects: give one"),
    ],
)
def test_an_argument_that_would_be_ignored_is_refused(
    given: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argument_parser()
    with pytest.raises(SystemExit, match="2"):
        refuse_ignored(parser, parser.parse_args(given.split()))
    assert re.search(f"error: {message}", capsys.readouterr().err)


@pytest.mark.parametrize(
    "given",
    ["", "--cdnow", "--table t.csv --label Churn --group user", "--candidates svm --rolling 3", "--horizon-days 60"],
)
def test_arguments_that_belong_together_are_taken(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argument_parser()
    refuse_ignored(parser, parser.parse_args(given.split()))
    assert capsys.readouterr() == ("", "")
