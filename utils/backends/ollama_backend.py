"""One model of Ollama as a backend: standard mode, told in the same events as the engine's."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import Any

from config import SamplingParams, SpeculativeConfig
from utils.backends.ollama import Form, OllamaClient
from utils.backends.ollama_prompt import ollama_turn
from utils.backends.ollama_records import OllamaNumbers, OllamaPiece
from utils.backends.protocol import NOTHING_WRITTEN, Availability, Written
from utils.engine.protocol import ChatMessage
from utils.errors import BackendError, RequestError
from utils.events import Event, Finished, Mode, Started, Token, Tokens
from utils.performance_monitor import (
    Baseline,
    GenerationStats,
    PerformanceMonitor,
    ReportedNumbers,
    RoundStats,
    ratio,
)
from utils.reasoning import THOUGHT_BEGIN, THOUGHT_END

SEEDS = 2**31
# Ollama tells texts, not ids.
NO_TOKEN_ID = -1


class OllamaBackend:
    """Answers with a model of Ollama; `context_tokens` None leaves the context to Ollama."""

    def __init__(
        self, client: OllamaClient, model: str, *, context_tokens: int | None = None
    ) -> None:
        self._client = client
        self._model = model
        self._context_tokens = context_tokens

    @property
    def name(self) -> str:
        """What users call it."""
        return f"Ollama ({self._model})"

    async def available(self) -> Availability:
        """Tell whether Ollama is up and has the model."""
        try:
            names = {model.name for model in await self._client.list()}
        except BackendError as error:
            return Availability(is_available=False, reason=str(error))
        if {self._model, f"{self._model}:latest"} & names:
            return Availability(is_available=True)
        return Availability(
            is_available=False, reason=f"Ollama has no model {self._model!r}: pull it first"
        )

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: SamplingParams,
        speculative: SpeculativeConfig,
        owner: str = "",
        written: Written = NOTHING_WRITTEN,
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer, or of its rest: then from the prompt that Ollama makes.

        Thoughts come as text between `<think>` marks, as from a model in the engine. At the end
        Ollama's own numbers come beside ours. Raises `BackendError`, and `RequestError` for a
        JSON schema that is none.
        """
        seed = secrets.randbelow(SEEDS) if sampling.seed is None else sampling.seed
        yield Started(
            prompt_tokens=0,
            reused_tokens=0,
            seed=seed,
            baseline=Baseline(),
            context_tokens=self._context_tokens or 0,
            model=self._model,
        )
        form = _form(sampling)
        yield Mode("standard", None, self._reason(sampling, written), writer=self.name)
        if written.tokens >= sampling.max_tokens:
            yield Finished("length", PerformanceMonitor().result())
            return
        options = self._options(sampling, seed, sampling.max_tokens - written.tokens)
        turns = [ollama_turn(message) for message in messages]
        telling = _Telling()
        if written:
            prompt = await self._client.render(self._model, turns)
            # Ollama may leave it to the model to begin its thought.
            opened = "" if prompt.rstrip().endswith(written.opened.rstrip()) else written.opened
            pieces = self._client.generate(self._model, prompt + opened + written.text, options)
        else:
            pieces = self._client.chat(self._model, turns, options, form)
        async with aclosing(pieces):
            async for piece in pieces:
                if (tokens := telling.tokens(piece)) is not None:
                    yield tokens
                if piece.numbers is not None:
                    yield telling.finished(piece.numbers)

    def _reason(self, sampling: SamplingParams, written: Written) -> str:
        reason = f"answered by {self.name}"
        if sampling.logit_bias:
            reason += "; without the logit bias, which Ollama does not know"
        if sampling.grammar:
            reason += "; without the grammar, which Ollama does not know"
        elif written and (sampling.json_output or sampling.json_schema):
            reason += "; without keeping to JSON, which Ollama cannot in the middle of an answer"
        return reason

    def _options(self, sampling: SamplingParams, seed: int, max_tokens: int) -> dict[str, Any]:
        options: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "repeat_penalty": sampling.repetition_penalty,
            "repeat_last_n": sampling.penalty_window,
            "frequency_penalty": sampling.frequency_penalty,
            "presence_penalty": sampling.presence_penalty,
            "seed": seed % SEEDS,
            "num_predict": max_tokens,
        }
        # An empty list would take away the stop texts of the model's own Modelfile.
        if sampling.stop:
            options["stop"] = list(sampling.stop)
        if self._context_tokens is not None:
            options["num_ctx"] = self._context_tokens
        return options


def _form(sampling: SamplingParams) -> Form | None:
    """Return the form of the answer as Ollama takes it."""
    if not sampling.json_schema:
        return "json" if sampling.json_output else None
    try:
        schema = json.loads(sampling.json_schema)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the JSON schema is no JSON: {error}") from error
    if not isinstance(schema, dict):
        raise RequestError("the JSON schema is no JSON object")
    return schema


@dataclass(slots=True)
class _Telling:
    """Makes events of pieces; a piece counts as a token until Ollama's count comes.

    Ollama tells texts only, so the number of tokens is its own; all times are ours.
    """

    _pieces: int = 0
    _start: float = 0.0
    _ttft_s: float = 0.0
    _last_s: float = 0.0
    _is_thinking: bool = False

    def __post_init__(self) -> None:
        self._start = monotonic()

    def tokens(self, piece: OllamaPiece) -> Tokens | None:
        text = self._text(piece)
        if not text:
            return None
        now = monotonic() - self._start
        self._pieces += 1
        # The wait for the first piece is mostly prompt and loading: no measure of writing.
        took = now - self._last_s if self._ttft_s else 0.0
        self._ttft_s, self._last_s = self._ttft_s or now, now
        round_ = RoundStats(
            drafter=None,
            drafted=0,
            accepted=0,
            emitted=1,
            draft_s=0.0,
            verify_s=took,
            total_s=took,
            depth=0,
        )
        return Tokens((Token(NO_TOKEN_ID, text, "plain", now),), (round_,), Baseline())

    def finished(self, numbers: OllamaNumbers) -> Finished:
        tokens = numbers.answer_tokens or self._pieces
        # The first token came with the prompt: it counts as long as the others took.
        span_s = (self._last_s - self._ttft_s) * ratio(tokens, tokens - 1)
        stats = GenerationStats(
            prompt_tokens=numbers.prompt_tokens,
            reused_tokens=0,
            completion_tokens=tokens,
            # Before it read the prompt, Ollama may have had to load the model.
            prefill_s=max(0.0, self._ttft_s - numbers.load_s),
            ttft_s=self._ttft_s,
            # Pieces that were held up arrive at once: writing them took as long as Ollama says.
            decode_s=max(span_s, numbers.answer_s),
            rounds=tokens,
            drafted=0,
            accepted=0,
            accepted_histogram=(tokens,),
            baseline=Baseline(),
        )
        reported = ReportedNumbers(
            source="Ollama",
            prompt_tokens=numbers.prompt_tokens,
            prompt_s=numbers.prompt_s,
            answer_tokens=numbers.answer_tokens,
            answer_s=numbers.answer_s,
            load_s=numbers.load_s,
        )
        return Finished("length" if numbers.reason == "length" else "stop", stats, reported)

    def _text(self, piece: OllamaPiece) -> str:
        text = ""
        if piece.thinking:
            text += ("" if self._is_thinking else THOUGHT_BEGIN) + piece.thinking
            self._is_thinking = True
        if piece.text:
            text += (THOUGHT_END if self._is_thinking else "") + piece.text
            self._is_thinking = False
        return text
