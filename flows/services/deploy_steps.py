"""Steps of prefect.yaml, which `prefect deploy` runs before it deploys."""

import asyncio
from typing import TypedDict

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound


class ScheduleNow(TypedDict):
    """What prefect.yaml reads as ``{{ ID.active }}``."""

    active: bool


def schedule_now(deployment: str, slug: str, active: bool) -> ScheduleNow:
    """Return whether a schedule is active on the server, or, if it is not there yet, whether it shall be.

    `prefect deploy` sets every schedule to what prefect.yaml says, so that one that a person resumed would be paused
    by the next deployment; and what prefect.yaml does not say, Prefect takes as active.
    """
    return {"active": asyncio.run(_is_active(deployment, slug, active))}


async def _is_active(deployment: str, slug: str, otherwise: bool) -> bool:
    async with get_client() as client:
        try:
            found = await client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return otherwise
    return next((schedule.active for schedule in found.schedules if schedule.slug == slug), otherwise)
