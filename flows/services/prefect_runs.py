"""What must be settled with Prefect's server before a worker serves it: the pool, and what a dead worker left."""

import asyncio
import contextlib
from datetime import UTC, datetime

import psutil
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Crashed

from flows.services.definitions import POOL
from flows.services.marked import FLOW_RUN

_HELD = FlowRunFilterState(
    type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
)
_ABANDONED = "its process is gone: the machine or `backprop up` was stopped while it ran"


def settle() -> list[str]:
    """Create the work pool if there is none, end the runs that no process runs any more, and return their names.

    Until a run is ended it stays Running in the pages and keeps its slot of a concurrency limit, so that the next
    would never start.
    """
    return asyncio.run(_settle())


def worker_is_online(since: datetime) -> bool:
    """Return whether a worker of the pool has been heard of since a moment."""
    return asyncio.run(_worker_is_online(since))


def deployments() -> list[str]:
    """Return what can be run, as FLOW/NAME, sorted."""
    return asyncio.run(_deployments())


async def _settle() -> list[str]:
    async with get_client() as client:
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
        held = await client.read_flow_runs(flow_run_filter=FlowRunFilter(state=_HELD), work_pool_filter=pool)
        running = _running_here()
        abandoned = [run for run in held if str(run.id) not in running]
        for run in abandoned:
            await _crash(client, run)
        return [run.name for run in abandoned]


async def _crash(client: PrefectClient, run: FlowRun) -> None:
    parent = FlowRunFilterParentFlowRunId(any_=[run.id])
    for child in await client.read_flow_runs(flow_run_filter=FlowRunFilter(state=_HELD, parent_flow_run_id=parent)):
        await _crash(client, child)
    await client.set_flow_run_state(run.id, Crashed(message=_ABANDONED))


def _running_here() -> set[str]:
    """Return the ids of the flow runs that have a process; the servers listen to this machine only."""
    found = set()
    for process in psutil.process_iter():
        try:
            found.add(process.environ().get(FLOW_RUN, ""))
        except (psutil.Error, OSError):
            continue
    return found


async def _worker_is_online(since: datetime) -> bool:
    async with get_client() as client:
        workers = await client.read_workers_for_work_pool(POOL)
    return any(
        worker.status is WorkerStatus.ONLINE
        and (worker.last_heartbeat_time or datetime.min.replace(tzinfo=UTC)) > since
        for worker in workers
    )


async def _deployments() -> list[str]:
    async with get_client() as client:
        found = await client.read_deployments(work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])))
        flows = {deployment.flow_id: await client.read_flow(deployment.flow_id) for deployment in found}
    return sorted(f"{flows[deployment.flow_id].name}/{deployment.name}" for deployment in found)
