"""How good are the churn candidates, beside LightGBM and logistic regression on the same rows?

Intervals are over users.

Without arguments: the project's own lake and registry, as `make train` left them; what is not trained yet is trained.
"""

import argparse
from datetime import datetime
from pathlib import Path

from benchmarks.churn_cdnow import judge_cdnow
from benchmarks.churn_comparison import Scored, show_scored
from benchmarks.churn_lake import CANDIDATES, judge_lake, score_peers
from benchmarks.churn_table import judge_table
from benchmarks.result import count, parse_arguments
from everstay.churn import ChurnRows, load_artifact
from everstay.registry.store import Registry
from everstay.registry.versions import download
from everstay.settings import load_settings
from flows import runtime
from flows.ingest_events import ingest_events
from flows.train_churn import train_churn

_LAKE = "--source, --as-of, --horizon-days, --candidates"


def main() -> None:
    """Judge what the arguments name."""
    parser = argument_parser()
    arguments = parse_arguments(__doc__ or "", parser)
    refuse_ignored(parser, arguments)
    runtime.run(_judge, arguments=arguments)


def refuse_ignored(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error where an argument would change nothing, because another decides what is judged."""
    lake = arguments.source or arguments.as_of or arguments.horizon_days or arguments.candidates
    subjects = {"--cdnow": arguments.cdnow, "--table": arguments.table, _LAKE: lake}
    named = [subject for subject, value in subjects.items() if value]
    if len(named) > 1:
        parser.error(f"{' and '.join(named)} are different subjects: give one")
    if arguments.rolling > 1 and not lake:
        parser.error(f"--rolling needs one of {_LAKE}")
    if (arguments.label or arguments.group) and not arguments.table:
        parser.error("--label and --group need --table, the file whose columns they name")
    if arguments.table and not arguments.label:
        parser.error("--table needs --label: the column that says who left")


def _judge(arguments: argparse.Namespace) -> None:
    if arguments.cdnow:
        scored = [judge_cdnow()]
    elif arguments.table is not None:
        scored = [judge_table(arguments.table, arguments.label, arguments.group)]
    elif arguments.source or arguments.as_of or arguments.horizon_days or arguments.candidates:
        scored = judge_lake(
            arguments.source, arguments.as_of, arguments.horizon_days, arguments.rolling, arguments.candidates
        )
    else:
        scored = [_judge_registered()]
    show_scored(scored, arguments.json)


def argument_parser() -> argparse.ArgumentParser:
    """All arguments but `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, metavar="SETTINGS", help="a settings file: all candidates on its lake")
    parser.add_argument("--as-of", type=datetime.fromisoformat, metavar="DATE", help="where candidates are judged")
    parser.add_argument("--horizon-days", type=count, metavar="N", help="instead of the settings'")
    parser.add_argument("--rolling", type=count, default=1, metavar="K", help="judge at K as-ofs, four weeks apart")
    parser.add_argument(
        "--candidates", nargs="+", choices=CANDIDATES, default=(), metavar="NAME", help="on a lake; default: all"
    )
    parser.add_argument("--cdnow", action="store_true", help="the published CD shop: who buys in the second half")
    parser.add_argument("--table", type=Path, metavar="FILE", help="a labelled table, .csv or .parquet")
    parser.add_argument("--label", metavar="COLUMN", help="of the table: who left")
    parser.add_argument("--group", nargs="+", default=(), metavar="COLUMN", help="rows alike in these are one user")
    return parser


def _judge_registered() -> Scored:
    settings = load_settings()
    ingest_events()
    training = train_churn()
    registry, test = Registry(settings.mlflow), ChurnRows.read(training.rows).test
    probabilities = score_peers(training.rows, test)
    for run in training.runs:
        probabilities[run.candidate] = load_artifact(download(registry, run)).predict_probability(test)
    return Scored.of_rows("the settings' lake", test, probabilities, training.challenger.candidate)


if __name__ == "__main__":
    main()
