"""The embedded model behind the test server: it writes what Ollama would, line by line.

As in Ollama a conversation becomes text by the template of the file, and that text is read as it
stands; so a prompt that was rendered here once can be gone on with as raw text.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Any

from config import ModelOptions, SamplingParams, SpeculativeConfig
from utils.draft_models import EMBEDDED_TARGET
from utils.errors import SpecChatError
from utils.events import Finished, Tokens
from utils.llama.chat_prompt import template_for
from utils.llama.model import LlamaModel
from utils.performance_monitor import GenerationStats
from utils.speculative_decoding import SpeculativeDecoder

MAX_TOKENS = 100_000
OPTIONS = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "repetition_penalty",
    "repeat_last_n": "penalty_window",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "num_predict": "max_tokens",
    "stop": "stop",
}
PLAIN = SpeculativeConfig(enabled=False)
Body = Mapping[str, Any]
Tell = Callable[[dict[str, Any]], None]


class OllamaModel:
    """A model in a thread of its own, opened when first asked; `close` it in the end."""

    def __init__(self, path: Path = EMBEDDED_TARGET) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "ollama model")

    def close(self) -> None:
        """Free the model, after what is being written."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    async def lines(self, route: str, body: Body) -> AsyncGenerator[str, None]:
        """Yield what `chat`, `generate` or `render` answers; leaving it stops the writing."""
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[str | None] = asyncio.Queue()
        left = Event()

        def tell(line: dict[str, Any]) -> None:
            made = {"model": body["model"], "created_at": datetime.now(UTC).isoformat(), **line}
            loop.call_soon_threadsafe(lines.put_nowait, json.dumps(made))

        writing = loop.run_in_executor(self._thread, self._answer, route, body, tell, left.is_set)
        writing.add_done_callback(lambda _: lines.put_nowait(None))
        try:
            while (line := await lines.get()) is not None:
                yield line
            await writing
        finally:
            left.set()

    @cached_property
    def _model(self) -> LlamaModel:
        return LlamaModel.open(self._path, ModelOptions(threads=1, batch_threads=1))

    def _close(self) -> None:
        if "_model" in self.__dict__:
            self._model.close()

    def _answer(self, route: str, body: Body, tell: Tell, should_stop: Callable[[], bool]) -> None:
        if route == "render":
            tell({"_debug_info": {"rendered_template": self._render(body)}})
            return
        prompt = body["prompt"] if route == "generate" else self._render(body)
        write = _generated if route == "generate" else _said
        try:
            asyncio.run(self._write(prompt, body.get("options", {}), write, tell, should_stop))
        except SpecChatError as error:
            tell({"error": str(error)})

    def _render(self, body: Body) -> str:
        model, vocabulary = self._model, self._model.vocabulary
        bos, eos = (
            "" if token_id is None else vocabulary.text(token_id)
            for token_id in (vocabulary.bos, vocabulary.eos)
        )
        return template_for(model.chat_template, vocabulary).render(body["messages"], bos, eos)

    async def _write(
        self,
        prompt: str,
        options: Mapping[str, Any],
        write: Callable[[str], dict[str, Any]],
        tell: Tell,
        should_stop: Callable[[], bool],
    ) -> None:
        session, vocabulary = self._model.session, self._model.vocabulary
        token_ids = vocabulary.tokenize(prompt, parse_special=True, add_bos=vocabulary.adds_bos)
        events = SpeculativeDecoder(session, vocabulary).generate(
            token_ids,
            sampling=_sampling(options),
            speculative=PLAIN,
            should_stop=should_stop,
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Tokens):
                    for token in event.tokens:
                        if token.text:
                            tell({**write(token.text), "done": False})
                elif isinstance(event, Finished):
                    tell({**write(""), "done": True, **_numbers(event.reason, event.stats)})


def _said(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}}


def _generated(text: str) -> dict[str, Any]:
    return {"response": text}


def _sampling(options: Mapping[str, Any]) -> SamplingParams:
    known = {ours: options[theirs] for theirs, ours in OPTIONS.items() if theirs in options}
    if known.get("max_tokens", -1) < 0:
        known["max_tokens"] = MAX_TOKENS
    return SamplingParams(**known)


def _numbers(reason: str, stats: GenerationStats) -> dict[str, Any]:
    prompt_ns, answer_ns = int(1e9 * stats.prefill_s), int(1e9 * stats.decode_s)
    return {
        "done_reason": reason,
        "total_duration": prompt_ns + answer_ns,
        "load_duration": 1,
        "prompt_eval_count": stats.prompt_tokens,
        "prompt_eval_duration": prompt_ns,
        "eval_count": stats.completion_tokens,
        "eval_duration": answer_ns,
    }
