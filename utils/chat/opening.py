"""The engine's first steps: it starts with the app and loads the target without being asked."""

from __future__ import annotations

import logging

from utils.engine.client import EngineClient
from utils.errors import SpecChatError

logger = logging.getLogger(__name__)


async def open_engine(client: EngineClient) -> None:
    """Start the worker and load the target; if that fails, the next question tries again."""
    try:
        await client.start()
        await client.load()
    except SpecChatError as error:
        logger.error("no target could be loaded: %s", error)
