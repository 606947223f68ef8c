"""Runs whose worker was ended while it had them: Prefect counts them as running until someone says otherwise."""

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
_WHY = "`make deploy` was stopped while this run was at work; what was half-done is invisible: run it again"


def end_interrupted_runs(api_url: str) -> int:
    """Call unfinished runs of deployments crashed, or cancelled where that was asked for; it frees their slots.

    To be called while no worker is at work. Runs by hand, which are in the same database, are left alone.

    Returns:
        Number of runs.
    """
    interrupted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED)),
    )
    with SyncPrefectClient(api_url) as client:
        runs = client.read_flow_runs(flow_run_filter=interrupted)
        for run in runs:
            ended = Cancelled if run.state_type is StateType.CANCELLING else Crashed  # Prefect takes no other
            client.set_flow_run_state(run.id, ended(message=_WHY))
    return len(runs)
