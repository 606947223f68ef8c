"""Runs whose worker ended before they did: Prefect counts them as running until someone says otherwise."""

from contextlib import suppress

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelled, Crashed

_UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"  # by which Prefect tells a process which run it is
_WHY = "`make deploy` was stopped during this run; unfinished work is invisible: re-run it"


def end_interrupted_runs(api_url: str) -> int:
    """Mark unfinished runs of deployments as crashed, or as cancelled where that was requested; it frees their slots.

    A killed worker's runs live on in processes of their own: those on this machine are killed. To be called while no
    worker is running. Runs started by hand, which are in the same database, are left alone.

    Returns:
        Number of runs.
    """
    interrupted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED)),
    )
    with SyncPrefectClient(api_url) as client:
        runs = client.read_flow_runs(flow_run_filter=interrupted)
        _end_processes({str(run.id) for run in runs})
        for run in runs:
            ended = Cancelled if run.state_type is StateType.CANCELLING else Crashed  # Prefect accepts no other
            client.set_flow_run_state(run.id, ended(message=_WHY))
    return len(runs)


def _end_processes(runs: set[str]) -> None:
    """End the processes of some runs; what they were writing stays invisible."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # another account's, or gone
            if process.environ().get(_RUN_VARIABLE) in runs:
                process.kill()
