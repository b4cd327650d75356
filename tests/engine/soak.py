"""The slow suite: `python -m tests.engine.soak --minutes 3`.

Four sessions ask, leave, stop and switch models at random. In the first half the worker lives, and
memory and descriptors must not grow; in the second half it is killed every 25 seconds, and at most
the running answer may fail. Every complete answer must read as it does alone. Else the exit status
is 1. Flash attention is off: with it, what a long prompt leaves in the cache depends, in the last
digits, on how much of it was there before.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from config import LOOKUP, SamplingParams, SpeculativeConfig
from tests.engine.conftest import CONTEXT, make_settings, user
from tests.tiny_gguf import write_tiny_pair
from utils.engine.client import EngineClient
from utils.errors import EngineError
from utils.events import Finished, Tokens

SESSIONS = 4
PROMPTS = [f"{word} " * count for word in ("alpha", "beta", "gamma") for count in (1, 20, 200)]
DRAFTS = ("draft", "second", LOOKUP, "missing")
SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)
KILL_EVERY_S = 25.0
REPORT_EVERY_S = 10.0
RSS_LIMIT_BYTES = 8 * 2**20


@dataclass
class Soak:
    """What happens, and what it came to."""

    client: EngineClient
    seed: int
    expected: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    usage: list[tuple[int, int, int, int]] = field(default_factory=list)
    until: float = 0.0
    wrong: int = 0

    async def prepare(self) -> None:
        """Hear every answer alone once."""
        for prompt in PROMPTS:
            self.expected[prompt] = await self.ask(prompt, SpeculativeConfig(enabled=False))

    async def ask(
        self,
        prompt: str,
        speculative: SpeculativeConfig,
        *,
        leave_after: int = 10**9,
        owner: str = "",
    ) -> str:
        """Return the text of an answer, read up to so many events."""
        text, events = "", 0
        answer = self.client.generate(
            user(prompt),
            sampling=SamplingParams(temperature=0.8, seed=5, max_tokens=120),
            speculative=speculative,
            owner=owner,
        )
        async with aclosing(answer):
            async for event in answer:
                events += 1
                if isinstance(event, Tokens):
                    text += "".join(token.text for token in event.tokens)
                if isinstance(event, Finished):
                    self.counts["finished"] += 1
                    return text
                if events >= leave_after:
                    break
        self.counts["left"] += 1
        return ""

    async def session(self, number: int) -> None:
        """Ask at random until the time is up."""
        chance = random.Random(self.seed + number)
        while time.monotonic() < self.until:
            prompt = chance.choice(PROMPTS)
            speculative = SpeculativeConfig(
                enabled=chance.random() < 0.8,
                draft_model=chance.choice(DRAFTS),
                max_draft_tokens=chance.randint(1, 16),
            )
            leave_after = chance.randint(1, 8) if chance.random() < 0.3 else 10**9
            try:
                text = await self.ask(
                    prompt, speculative, leave_after=leave_after, owner=str(number)
                )
                if chance.random() < 0.01:
                    await self.client.load()
                    self.counts["loaded"] += 1
            except EngineError:
                self.counts["failed"] += 1
            else:
                self.wrong += bool(text) and text != self.expected[prompt]

    async def report(self) -> None:
        """Write down memory and descriptors again and again."""
        while time.monotonic() < self.until:
            await asyncio.sleep(min(REPORT_EVERY_S, max(0.1, self.until - time.monotonic())))
            stats = await self.client.stats()
            fds = len(os.listdir("/proc/self/fd"))
            worker_fds = len(os.listdir(f"/proc/{self.client.health.pid}/fd"))
            self.usage.append((stats.rss_bytes, fds, worker_fds, threading.active_count()))
            sys.stdout.write(
                f"worker {stats.rss_bytes / 2**20:.1f} MiB, {worker_fds} descriptors; "
                f"client {fds} descriptors, {threading.active_count()} threads; "
                f"{dict(self.counts)}\n"
            )

    async def kill(self) -> None:
        """Kill the worker again and again."""
        chance = random.Random(self.seed)
        while time.monotonic() + KILL_EVERY_S < self.until:
            await asyncio.sleep(KILL_EVERY_S)
            if (pid := self.client.health.pid) is not None:
                os.kill(pid, chance.choice(SIGNALS))
                self.counts["killed"] += 1

    async def run(self, seconds: float, *, kill: bool) -> None:
        """Have all sessions at work for so long."""
        self.until = time.monotonic() + seconds
        watchers = [self.kill()] if kill else [self.report()]
        await asyncio.gather(*watchers, *(self.session(number) for number in range(SESSIONS)))

    def verdict(self) -> list[str]:
        """Return what was not as it should be."""
        problems = [f"{self.wrong} answers differ from those given alone"] if self.wrong else []
        if self.counts["failed"] > self.counts["killed"]:
            problems.append(f"{self.counts['failed']} failed, {self.counts['killed']} killed")
        first, last = self.usage[len(self.usage) // 4], self.usage[-1]
        if last[0] - first[0] > RSS_LIMIT_BYTES:
            problems.append(f"worker grew by {(last[0] - first[0]) / 2**20:.1f} MiB")
        if any(after > before + 2 for before, after in zip(first[1:], last[1:], strict=True)):
            problems.append(f"descriptors or threads grew: {first[1:]} to {last[1:]}")
        return problems


async def soak(minutes: float, seed: int) -> list[str]:
    """Run both halves and return what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        _, draft = write_tiny_pair(path, context=CONTEXT)
        (path / "second.gguf").write_bytes(draft.read_bytes())
        settings = make_settings(
            path, cache_folder=path / "cache", context_tokens=2048, flash_attention="off"
        )
        client = EngineClient(settings)
        await client.start()
        try:
            await client.load()
            run = Soak(client, seed)
            await run.prepare()
            await run.run(30 * minutes, kill=False)
            await run.run(30 * minutes, kill=True)
        finally:
            await client.close()
        sys.stdout.write(f"seed {seed}: {dict(run.counts)}\n")
        return run.verdict()


def main() -> int:
    """Parse the command line, run, and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    problems = asyncio.run(soak(options.minutes, options.seed))
    sys.stdout.write("".join(f"problem: {problem}\n" for problem in problems) or "all well\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
