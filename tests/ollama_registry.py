"""What the test server can pull: models that arrive in pieces and end up in a store on disk."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.ollama_server import OllamaServer
from utils.model_names import full_name, manifest_place

PIECES = 8
LIMIT_S = 20.0
LAYER = "application/vnd.ollama.image.model"


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(LIMIT_S):
        while not is_so():  # noqa: ASYNC110 - a snapshot tells nobody that it changed
            await asyncio.sleep(0)


@dataclass
class Registry:
    """Gives `models` by full name to the server; each stops in the middle after `hold`.

    What has arrived is kept, as Ollama keeps it. `is_halfway` is set by a pull in its middle,
    `error_once` ends the next one there.
    """

    server: OllamaServer
    store: Path
    models: dict[str, bytes] = field(default_factory=dict)
    error_once: str = ""
    arrived: dict[str, int] = field(default_factory=dict)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)
    is_halfway: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.server.pulling = self.lines
        self.may_go_on.set()

    def hold(self) -> None:
        self.may_go_on.clear()
        self.is_halfway.clear()

    def add(self, name: str, data: bytes = b"weights of no model") -> None:
        self.models[full_name(name)] = data

    async def lines(self, name: str) -> AsyncGenerator[str, None]:
        yield json.dumps({"status": "pulling manifest"})
        if (data := self.models.get(full_name(name))) is None:
            yield json.dumps({"error": "pull model manifest: file does not exist"})
            return
        digest = hashlib.sha256(data).hexdigest()
        line = {
            "status": f"pulling {digest[:12]}",
            "digest": f"sha256:{digest}",
            "total": len(data),
        }
        for piece in range(self.arrived.get(name, 0), PIECES + 1):
            self.arrived[name] = piece
            yield json.dumps({**line, "completed": len(data) * piece // PIECES})
            if piece == PIECES // 2:
                self.is_halfway.set()
                await self.may_go_on.wait()
                if self.error_once:
                    yield json.dumps({"error": self.error_once})
                    self.error_once = ""
                    return
        yield json.dumps({"status": "writing manifest"})
        self.install(name)
        yield json.dumps({"status": "success"})

    def install(self, name: str) -> None:
        """Have a model in the store and on the list, as after a pull."""
        data = self.models[full_name(name)]
        digest = hashlib.sha256(data).hexdigest()
        blob = self.store / "blobs" / f"sha256-{digest}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        manifest = self.store / "manifests" / manifest_place(name)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        layer = {"mediaType": LAYER, "digest": f"sha256:{digest}", "size": len(data)}
        manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))
        self.server.models.add(full_name(name))
