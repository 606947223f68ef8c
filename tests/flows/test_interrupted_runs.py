"""What a worker left behind makes place for the next run of its deployment."""

import os
import signal
import subprocess

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Pending, Running, State

from flows.interrupted_runs import end_interrupted_runs


@flow
def nightly() -> None:
    """Never runs."""


def taken(client: SyncPrefectClient, run: FlowRun) -> int:
    """Slots of the run's deployment that are in use."""
    return client.read_deployment(run.deployment_id).global_concurrency_limit.active_slots


def process_of(run: FlowRun) -> subprocess.Popen[bytes]:
    """A process that has a run, as a worker starts them."""
    return subprocess.Popen(["sleep", "60"], env={**os.environ, "PREFECT__FLOW_RUN_ID": str(run.id)})


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ((), "CRASHED"),
        ((Running(),), "CRASHED"),
        ((Running(), Cancelling()), "CANCELLED"),
    ],
    ids=["pending", "running", "cancelling"],
)
def test_a_run_that_its_worker_left_gives_its_place_to_the_next(steps: tuple[State, ...], told: str):
    with get_client(sync_client=True) as client:
        by_hand = client.create_flow_run(nightly, state=Running())
        deployment = client.create_deployment(client.create_flow(nightly), f"limited-{len(steps)}", concurrency_limit=1)
        left, following = (client.create_flow_run_from_deployment(deployment) for _ in range(2))
        for state in (Pending(), *steps):
            client.set_flow_run_state(left.id, state)
        assert taken(client, left) == 1
        worked_on, others = (process_of(run) for run in (left, by_hand))
        assert end_interrupted_runs(str(client.api_url)) == 1
        assert worked_on.wait(timeout=10) == -signal.SIGKILL
        assert others.poll() is None
        others.kill()
        others.wait()
        ended = client.read_flow_run(left.id)
        assert ended.state_type.value == told
        assert "`make deploy` was stopped" in ended.state.message
        assert taken(client, left) == 0
        assert client.set_flow_run_state(following.id, Pending()).state.is_pending()
        assert client.read_flow_run(by_hand.id).state.is_running()
        client.delete_flow_run(following.id)
