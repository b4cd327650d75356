"""Ask the engine from a terminal: `python -m utils.engine "What is a draft model?"`."""

from __future__ import annotations

import asyncio
import sys

from config import get_settings
from utils.engine.client import EngineClient
from utils.engine.protocol import ChatMessage
from utils.events import Finished, Mode, Tokens


async def ask(question: str) -> None:
    """Write the answer as it comes, then its figures."""
    settings = get_settings()
    client = EngineClient(settings)
    await client.start()
    try:
        async for event in client.generate(
            [ChatMessage(role="user", content=question)],
            sampling=settings.sampling,
            speculative=settings.speculative,
        ):
            if isinstance(event, Mode):
                mode = f"{event.mode} {event.drafter or ''} {event.reason}"
                sys.stderr.write(f"[{' '.join(mode.split())}]\n")
            elif isinstance(event, Tokens):
                sys.stdout.write("".join(token.text for token in event.tokens))
                sys.stdout.flush()
            elif isinstance(event, Finished):
                stats = event.stats
                sys.stderr.write(
                    f"\n[{stats.tokens_per_second:.0f} tokens/s, {stats.speedup:.2f}x plain, "
                    f"{stats.acceptance_rate:.0%} accepted, first after {stats.ttft_s:.3f} s]\n"
                )
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(ask(" ".join(sys.argv[1:])))
