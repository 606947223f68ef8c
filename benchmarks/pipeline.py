"""Where does the main job spend its time, and how much of it outside the work itself? A first run, then a second."""

import os
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import TaskRun
from prefect.testing.utilities import prefect_test_harness

from benchmarks.result import Row, measured, parse_arguments, show
from flows.retention_pipeline import retention_pipeline

_PAGE = 200


def main() -> None:
    """Run the main job twice on the source of `everstay.toml`, in a folder that is thrown away."""
    arguments = parse_arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as name, prefect_test_harness(server_startup_timeout=180):
        folder = Path(name)
        os.environ["EVERSTAY_DATA__FOLDER"] = str(folder / "lake")
        os.environ["EVERSTAY_REPORT_FOLDER"] = str(folder / "reports")
        os.environ["EVERSTAY_MLFLOW__TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.environ["EVERSTAY_MLFLOW__ARTIFACTS"] = str(folder / "artifacts")
        rows = []
        for case in ("first run", "second run, nothing new"):
            retention_pipeline()
            rows += _steps(case)
    show("The main job, step by step", rows, arguments.json)


def _steps(case: str) -> list[Row]:
    """Seconds of each task of the newest main job, summed over its runs; orchestration is when no task is running."""
    with get_client(sync_client=True) as client:
        mains = [run for run in client.read_flow_runs(limit=200) if run.parent_task_run_id is None and run.start_time]
        newest = max(mains, key=lambda run: str(run.start_time))
        tasks = [
            run for run in _all_task_runs(client) if run.start_time and str(run.start_time) >= str(newest.start_time)
        ]
    seconds: dict[str, float] = defaultdict(float)
    busy: list[tuple[datetime, datetime]] = []
    for run in tasks:
        if run.state is None or run.state.state_details.child_flow_run_id is not None:
            continue  # it stands for a subflow, whose own tasks are counted
        seconds[run.name.rsplit("-", 1)[0]] += run.total_run_time.total_seconds()
        busy += [(run.start_time, run.end_time)] if run.start_time and run.end_time else []
    total = newest.total_run_time.total_seconds()
    work = _covered(busy)
    rows = [measured(f"{case}: {name}", "seconds", value, "s") for name, value in seconds.items() if value >= 0.5]
    rows.append(measured(f"{case}: all", "seconds", total, "s"))
    rows.append(measured(f"{case}: outside the tasks", "seconds", total - work, "s"))
    rows.append(measured(f"{case}: outside the tasks", "share", 100 * (total - work) / total, "%"))
    return rows


def _covered(spans: list[tuple[datetime, datetime]]) -> float:
    """Seconds that lie in at least one of the spans; candidates are trained side by side."""
    covered, until = 0.0, datetime.min.replace(tzinfo=UTC)
    for start, end in sorted(spans):
        covered += max(0.0, (end - max(start, until)).total_seconds())
        until = max(until, end)
    return covered


def _all_task_runs(client: SyncPrefectClient) -> list[TaskRun]:
    runs: list[TaskRun] = []
    while True:
        page = client.read_task_runs(limit=_PAGE, offset=len(runs))
        runs += page
        if len(page) < _PAGE:
            return runs


if __name__ == "__main__":
    main()
