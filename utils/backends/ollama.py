"""Ollama's server through its official library: the only module that imports `ollama`.

Every failure is one of three: `OllamaUnavailableError` (not there, silent, hung up),
`OllamaAnswerError` (it says what is wrong), `OllamaProtocolError` (it makes no sense).
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, contextmanager
from functools import cache
from typing import Any, Literal, TypeVar

import httpx
import ollama

from config import Settings
from utils.backends.bounded_transport import BoundedTransport
from utils.backends.ollama_errors import answer_error, connection_error, sense_error
from utils.backends.ollama_records import (
    OllamaModel,
    OllamaModelDetails,
    OllamaNumbers,
    OllamaPiece,
    PullProgress,
    RunningModel,
    checked_count,
    trained_context,
)
from utils.errors import OllamaProtocolError, OllamaUnavailableError

CONNECT_TIMEOUT_S = 2.0
# Checking the digest of a large file takes minutes, in which Ollama says nothing.
PULL_IDLE_TIMEOUT_S = 900.0
MAX_ANSWER_CHARS = 2**24
# Ollama's own drafting would spoil comparisons, and changing it reloads the model.
FIXED_OPTIONS = {"draft_num_predict": 0}
SECONDS = 1e-9
# Which certificates are believed: to read them takes longer than most requests.
_trusted = cache(httpx.create_ssl_context)
T = TypeVar("T")
Message = Mapping[str, str]
Options = Mapping[str, Any]
# "json", or a JSON schema.
Form = Literal["json"] | dict[str, Any]


class OllamaClient:
    """One server, by the address in the settings; belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.ollama_url
        self._library = _connect(self.url, settings.ollama_idle_timeout_s)
        self._puller = _connect(self.url, PULL_IDLE_TIMEOUT_S)

    async def close(self) -> None:
        """Close the connections."""
        for library in (self._library, self._puller):
            await library._client.aclose()

    async def version(self) -> str:
        """Return the server's version."""
        answer = await self._request("GET", "/api/version")
        return _text(answer, "version")

    async def list(self) -> tuple[OllamaModel, ...]:
        """Return the models it has, newest first."""
        with _translated(self.url):
            found = (await self._library.list()).models
        return tuple(_model(model) for model in found if model.model)

    async def show(self, name: str) -> OllamaModelDetails:
        """Return what it knows of a model."""
        with _translated(self.url):
            found = await self._library.show(name)
        header = found.modelinfo or {}
        return OllamaModelDetails(
            modelfile=found.modelfile or "",
            parameters=found.parameters or "",
            template=found.template or "",
            capabilities=tuple(found.capabilities or ()),
            architecture=str(header.get("general.architecture", "")),
            trained_context=trained_context(header),
        )

    async def ps(self) -> tuple[RunningModel, ...]:
        """Return the models in its memory."""
        with _translated(self.url):
            found = (await self._library.ps()).models
        return tuple(
            RunningModel(
                name=model.model or model.name or "",
                size_bytes=model.size or 0,
                gpu_bytes=model.size_vram or 0,
                context_tokens=model.context_length or 0,
                expires_at=model.expires_at,
            )
            for model in found
        )

    async def pull(self, name: str) -> AsyncGenerator[PullProgress, None]:
        """Download a model and yield the progress.

        Closing the generator stops the download; pulling again goes on where it stopped.
        """
        files: dict[str, tuple[int, int]] = {}
        status = ""
        with _translated(self.url):
            lines = await self._puller.pull(name, stream=True)
        async with aclosing(_lines(self.url, lines)) as checked:
            async for line in checked:
                status = line.status or status
                if line.digest:
                    files[line.digest] = (checked_count(line.completed), checked_count(line.total))
                total = sum(total for _, total in files.values())
                # It does not tell of the last bytes of a file.
                is_done = status == "success"
                done = total if is_done else sum(done for done, _ in files.values())
                yield PullProgress(status, done, total)
                if is_done:
                    return
        raise OllamaProtocolError(f"Ollama stopped the download of {name!r} midway: pull it again")

    async def delete(self, name: str) -> None:
        """Delete a model."""
        with _translated(self.url):
            await self._library.delete(name)

    async def copy(self, source: str, destination: str) -> None:
        """Give a model another name too."""
        with _translated(self.url):
            await self._library.copy(source, destination)

    async def unload(self, name: str) -> None:
        """Take a model out of its memory."""
        with _translated(self.url):
            await self._library.generate(name, keep_alive=0)

    async def render(self, name: str, messages: Sequence[Message]) -> str:
        """Return the prompt that Ollama makes of a conversation, without answering it."""
        answer = await self._request(
            "POST",
            "/api/chat",
            json={
                "model": name,
                "messages": list(messages),
                "stream": False,
                "options": FIXED_OPTIONS,
                "_debug_render_only": True,
            },
        )
        debug = answer.get("_debug_info")
        if not isinstance(debug, dict):
            raise OllamaProtocolError("Ollama does not show its prompts: update it")
        return _text(debug, "rendered_template")

    def chat(
        self, name: str, messages: Sequence[Message], options: Options, form: Form | None = None
    ) -> AsyncGenerator[OllamaPiece, None]:
        """Answer a conversation in pieces, in a form; tried again once where nothing came."""

        async def ask() -> AsyncIterator[Any]:
            return await self._library.chat(
                name,
                messages=messages,
                stream=True,
                format=form,
                options={**options, **FIXED_OPTIONS},
            )

        return self._answer(ask, _chat_piece)

    def generate(
        self, name: str, prompt: str, options: Options
    ) -> AsyncGenerator[OllamaPiece, None]:
        """Go on with a prompt as it stands, no template applied; tried again as `chat` is."""

        async def ask() -> AsyncIterator[Any]:
            return await self._library.generate(
                name, prompt, raw=True, stream=True, options={**options, **FIXED_OPTIONS}
            )

        return self._answer(ask, _generated_piece)

    async def _answer(
        self,
        ask: Callable[[], Awaitable[AsyncIterator[Any]]],
        to_piece: Callable[[Any], OllamaPiece],
    ) -> AsyncGenerator[OllamaPiece, None]:
        chars, attempts = 0, 2
        while True:
            attempts -= 1
            try:
                with _translated(self.url):
                    lines = await ask()
                async with aclosing(_lines(self.url, lines)) as checked:
                    async for line in checked:
                        attempts = 0
                        piece = to_piece(line)
                        chars += len(piece.text) + len(piece.thinking)
                        yield piece
                        if piece.numbers is not None:
                            return
                        if chars > MAX_ANSWER_CHARS:
                            raise OllamaProtocolError("Ollama does not end its answer: stopped")
            except OllamaUnavailableError:
                if attempts > 0:
                    continue
                raise
            raise OllamaProtocolError("Ollama stopped in the middle of its answer: ask again")

    async def _request(self, method: str, path: str, **body: Any) -> Mapping[str, Any]:
        # The library has no call for it, but the connection, with all its limits.
        with _translated(self.url):
            response = await self._library._client.request(method, path, **body)
            if not response.is_success:
                raise ollama.ResponseError(response.text, response.status_code)
            answer = response.json()
        if not isinstance(answer, dict):
            raise OllamaProtocolError(f"Ollama answered {path} with no JSON object")
        return answer


def _connect(url: str, idle_timeout_s: float) -> ollama.AsyncClient:
    timeout = httpx.Timeout(idle_timeout_s, connect=CONNECT_TIMEOUT_S)
    limits = httpx.Limits(max_keepalive_connections=0)
    inner = httpx.AsyncHTTPTransport(verify=_trusted(), limits=limits)
    return ollama.AsyncClient(
        url,
        timeout=timeout,
        follow_redirects=False,
        trust_env=False,
        headers={"Accept-Encoding": "identity"},
        transport=BoundedTransport(inner, idle_timeout_s=idle_timeout_s),
    )


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except ollama.ResponseError as error:
        raise answer_error(error.error, error.status_code) from error
    except (httpx.HTTPError, ConnectionError) as error:
        raise connection_error(error, url) from error
    # What the library raises for lines that are no JSON, no object, or hold values of other types.
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise sense_error(error) from error


async def _lines(url: str, lines: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    try:
        while True:
            with _translated(url):
                line = await anext(lines, None)
            if line is None:
                return
            yield line
    finally:
        if isinstance(lines, AsyncGenerator):
            await lines.aclose()


def _chat_piece(line: ollama.ChatResponse) -> OllamaPiece:
    message = line.message
    return OllamaPiece(message.content or "", message.thinking or "", _numbers(line))


def _generated_piece(line: ollama.GenerateResponse) -> OllamaPiece:
    return OllamaPiece(line.response or "", line.thinking or "", _numbers(line))


def _numbers(line: ollama.ChatResponse | ollama.GenerateResponse) -> OllamaNumbers | None:
    if not line.done:
        return None
    return OllamaNumbers(
        reason=line.done_reason or "stop",
        prompt_tokens=checked_count(line.prompt_eval_count),
        prompt_s=SECONDS * checked_count(line.prompt_eval_duration),
        answer_tokens=checked_count(line.eval_count),
        answer_s=SECONDS * checked_count(line.eval_duration),
        load_s=SECONDS * checked_count(line.load_duration),
        total_s=SECONDS * checked_count(line.total_duration),
    )


def _model(model: ollama.ListResponse.Model) -> OllamaModel:
    details = model.details
    return OllamaModel(
        name=model.model or "",
        digest=model.digest or "",
        size_bytes=model.size or 0,
        family=(details and details.family) or "",
        parameters=(details and details.parameter_size) or "",
        quantization=(details and details.quantization_level) or "",
    )


def _text(answer: Mapping[str, Any], key: str) -> str:
    if not isinstance(text := answer.get(key), str):
        raise OllamaProtocolError(f"Ollama's answer has no text {key!r}")
    return text
