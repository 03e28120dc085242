"""Who is told of retrainings: Prefect automations that call a webhook."""

import asyncio
from pathlib import Path
from typing import Any

import yaml
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import AutomationCore
from pydantic import SecretStr

BLOCK = "backprop-retrain"
"""The block that holds the URL, which may be a secret: Prefect shows none of it."""

_PLACEHOLDER = "WEBHOOK_BLOCK_ID"
_PACKAGE = Path(__file__).parents[1]


def bundled_automations() -> list[Path]:
    """Return the files of the automations that ship with the project."""
    installed, checkout = _PACKAGE / "bundled_automations", _PACKAGE.parent / "deployments" / "automations"
    return sorted((installed if installed.is_dir() else checkout).glob("*.yaml"))


def notify(url: str) -> list[str]:
    """Let Prefect's server call a URL after retrainings that failed or were promoted; return the automations' names.

    Called again it changes the URL; automations that are there already stay as they are, whatever was edited in them.
    """
    return asyncio.run(_notify(url))


async def _notify(url: str) -> list[str]:
    block = await Webhook(url=SecretStr(url)).save(BLOCK, overwrite=True)
    names = []
    async with get_client() as client:
        for path in bundled_automations():
            automation = AutomationCore.model_validate(_with_block(path, str(block)))
            if not await client.read_automations_by_name(automation.name):
                await client.create_automation(automation)
            names.append(automation.name)
    return names


def _with_block(path: Path, block: str) -> Any:
    return yaml.safe_load(path.read_text().replace(f"block_document_id: {_PLACEHOLDER}", f"block_document_id: {block}"))
