"""Messages between the app and the engine worker: one JSON object a line, checked on both ends.

The app sends `Load`, `Generate`, `Inspect`, `Cancel`, `GetStats`, `Close`; the worker answers with
`Ready` (once), `Loaded`, `Progress`, `Happened` (an event of an answer), `Inspected`, `Failed`,
`Stats`, `Heartbeat`. An `id` names the request that a message belongs to.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticSerializationError

from config import ModelOptions, SamplingParams, SpeculativeConfig
from utils.engine.figures import DraftFigures, PassCosts, TokenLogit
from utils.errors import ProtocolError
from utils.events import Event
from utils.model_session import ModelInfo
from utils.performance_monitor import Baseline
from utils.reasoning import THOUGHT_BEGIN, THOUGHT_END

MAX_LINE_BYTES = 16 * 2**20
MAX_CANDIDATES = 16
# Whose answers are timed: nothing else may be done while the next one is written, by whomever.
COMPARISONS_OF = "comparisons of "
T = TypeVar("T")


class Message(BaseModel):
    """Base of all messages: immutable, nothing unknown and no NaN or infinity in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ChatMessage(Message):
    """One turn of a conversation; `thinking` is what an assistant thought before its `content`.

    `thinking_marks` stood around the thought.
    """

    role: Literal["system", "user", "assistant"]
    content: str
    thinking: str = ""
    thinking_marks: tuple[str, str] = (THOUGHT_BEGIN, THOUGHT_END)

    @property
    def written(self) -> str:
        """Thought and content as one text, as a model writes them."""
        opening, closing = self.thinking_marks
        return f"{opening}{self.thinking}{closing}{self.content}" if self.thinking else self.content


class DraftChoice(Message):
    """What drafts: nothing, lookup in the text so far, or the GGUF at `path`; `name` is shown.

    Without a path, `problem` says why a model cannot be used, or another than lookup was not taken.
    """

    kind: Literal["none", "lookup", "model"]
    name: str = ""
    path: str | None = None
    problem: str = ""


class RenderedPrompt(Message):
    """A conversation as a prompt, made by somebody who knows the template of the model.

    `marker` is a character that stands inside every control text that a user wrote, and nowhere
    else: there the text is cut, so that no control token comes of it.
    """

    text: str
    marker: str = Field(min_length=1, max_length=1)


class Load(Message):
    """Open a target, in place of the one before, and measure its plain speed.

    `name` is what users call it; without one it is called as its file says. What passes cost is
    kept in the file `costs_path`, if there is one, and what tokens of its drafts cost beside it.
    """

    type: Literal["load"] = "load"
    id: str
    path: str
    name: str = ""
    options: ModelOptions
    costs_path: str = ""


class Generate(Message):
    """Answer a conversation with the loaded target.

    What is learnt of the texts of one `owner` is used for no other. `rendered` takes the place of
    the target's own template. An answer that has begun is gone on with after `written_ids`, or
    where they are not known after the text `written`. With `drop_oldest` the oldest messages are
    left out where not all fit; a rendered prompt cannot be shortened here.
    """

    type: Literal["generate"] = "generate"
    id: str
    owner: str = ""
    messages: tuple[ChatMessage, ...]
    sampling: SamplingParams
    speculative: SpeculativeConfig
    draft: DraftChoice
    rendered: RenderedPrompt | None = None
    written: str = ""
    written_ids: tuple[NonNegativeInt, ...] = ()
    drop_oldest: bool = False


class Inspect(Message):
    """Tell the logits after a conversation and what is written of its answer.

    `counts_only` asks for the length of the prompt alone, which takes no pass of the model.
    """

    type: Literal["inspect"] = "inspect"
    id: str
    messages: tuple[ChatMessage, ...]
    rendered: RenderedPrompt | None = None
    written: str = ""
    written_ids: tuple[NonNegativeInt, ...] = ()
    candidates: tuple[NonNegativeInt, ...] = Field((), max_length=MAX_CANDIDATES)
    counts_only: bool = False


class Cancel(Message):
    """Stop the answer or inspection `id`; what was written stays."""

    type: Literal["cancel"] = "cancel"
    id: str


class GetStats(Message):
    """Ask for `Stats`."""

    type: Literal["get_stats"] = "get_stats"
    id: str


class Close(Message):
    """End the worker."""

    type: Literal["close"] = "close"


class Ready(Message):
    """The worker is up."""

    type: Literal["ready"] = "ready"
    pid: int
    llama_cpp_version: str
    system_info: str
    has_gpu: bool


class Progress(Message):
    """Loading goes on: what is being done, and the share done if known."""

    type: Literal["progress"] = "progress"
    id: str
    stage: str
    share: float | None = None


class Loaded(Message):
    """The target is open and measured; `control_texts` stand for tokens no user may write."""

    type: Literal["loaded"] = "loaded"
    id: str
    model: ModelInfo
    baseline: Baseline
    load_s: float
    has_template: bool = True
    control_texts: tuple[str, ...] = ()


class Happened(Message):
    """Something happened in the answer `id`."""

    type: Literal["happened"] = "happened"
    id: str
    event: Annotated[Event, Field(discriminator="type")]


class Failed(Message):
    """The request `id` failed; `code` is that of an error class. An empty id: a bad message."""

    type: Literal["failed"] = "failed"
    id: str
    code: str
    message: str


class Inspected(Message):
    """What an inspection found: the candidates in the order asked, and the likeliest token.

    `prompt_tokens` counts what is written too.
    """

    type: Literal["inspected"] = "inspected"
    id: str
    prompt_tokens: int
    candidates: tuple[TokenLogit, ...] = ()
    top: TokenLogit | None = None


class Stats(Message):
    """The worker in numbers; without an id it was not asked for: after a load or an answer.

    `passes` are at the depths that were measured, at a reference pace; the machine is `pace` times
    as slow at the moment. `open_drafts` are held in memory, the one used last first, and take
    `draft_bytes` together; `drafts` are those of whoever was answered last. `cache_bytes` are those
    of the target's context; `rss_bytes` is the memory of the whole worker.
    """

    type: Literal["stats"] = "stats"
    id: str
    rss_bytes: int
    cached_tokens: int
    target: ModelInfo | None
    answers: int
    open_drafts: tuple[ModelInfo, ...] = ()
    target_bytes: int = 0
    draft_bytes: int = 0
    cache_bytes: int = 0
    passes: tuple[PassCosts, ...] = ()
    pace: float = 1.0
    drafts: tuple[DraftFigures, ...] = ()


class Heartbeat(Message):
    """Sent every second: how long ago the thread that decodes last made progress."""

    type: Literal["heartbeat"] = "heartbeat"
    progress_age_s: float


ToWorker = Load | Generate | Inspect | Cancel | GetStats | Close
FromWorker = Ready | Progress | Loaded | Happened | Inspected | Failed | Stats | Heartbeat

TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, Field(discriminator="type")])
FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(
    Annotated[FromWorker, Field(discriminator="type")]
)


def encode(message: Message) -> bytes:
    """Return the message as one line, or raise `ProtocolError` where its text is no Unicode."""
    try:
        return message.model_dump_json().encode() + b"\n"
    except PydanticSerializationError as error:
        raise ProtocolError(f"message cannot be sent: {error}") from error


def decode_request(line: bytes) -> ToWorker:
    """Read a line from the app, or raise `ProtocolError`."""
    return _decode(TO_WORKER, line)


def decode_reply(line: bytes) -> FromWorker:
    """Read a line from the worker, or raise `ProtocolError`."""
    return _decode(FROM_WORKER, line)


def _decode(adapter: TypeAdapter[T], line: bytes) -> T:
    if len(line) > MAX_LINE_BYTES:
        raise ProtocolError(f"message has {len(line)} bytes, more than {MAX_LINE_BYTES}")
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "message"
        raise ProtocolError(f"message is not understood: {place}: {first['msg']}") from error
