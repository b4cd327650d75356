"""The errors of the project, one tree; every message can be shown to a user as it is.

SpecChatError
├── ConfigError             a setting from the environment is wrong
├── RequestError            what was asked for cannot be done: empty prompt, wrong value
│   ├── ContextFullError    the conversation does not fit the model's context
│   ├── UnknownModelError   no such model is installed
│   └── QueueFullError      too many answers are waiting already
├── ModelError              a model cannot be used
│   ├── ModelFileError      the file is no sound GGUF
│   ├── ModelLoadError      llama.cpp refuses the file, or it does not fit in memory
│   ├── TemplateError       the chat template fails or takes too much
│   ├── TargetError         the target failed while decoding
│   └── DraftError          the draft failed or does not suit the target
│       └── DraftFullError  nothing more fits the draft's context
├── EngineError             the engine worker failed
│   ├── EngineCrashedError  the worker process died
│   ├── EngineStalledError  the worker made no progress for too long
│   └── ProtocolError       a message could not be understood
├── StorageError            what is kept on disk cannot be read or written
└── BackendError            nothing could answer
    ├── OllamaUnavailableError  Ollama is not there, fell silent, or hung up
    ├── OllamaAnswerError       Ollama says that something is wrong
    └── OllamaProtocolError     what Ollama sent is no sound answer
"""

from __future__ import annotations

from typing import ClassVar


class SpecChatError(Exception):
    """Root of the tree; `code` names the class on the wire and in metrics."""

    code: ClassVar[str] = "error"


class ConfigError(SpecChatError):
    """A setting from the environment is wrong."""

    code = "config"


class RequestError(SpecChatError):
    """What was asked for cannot be done as asked."""

    code = "request"


class ContextFullError(RequestError):
    """The conversation does not fit the model's context."""

    code = "context_full"


class UnknownModelError(RequestError):
    """No such model is installed."""

    code = "unknown_model"


class QueueFullError(RequestError):
    """Too many answers are waiting already."""

    code = "queue_full"


class ModelError(SpecChatError):
    """A model cannot be used."""

    code = "model"


class ModelFileError(ModelError):
    """The file is no sound GGUF."""

    code = "model_file"


class ModelLoadError(ModelError):
    """llama.cpp refuses the file, or it does not fit in memory."""

    code = "model_load"


class TemplateError(ModelError):
    """The chat template fails or takes too much."""

    code = "template"


class TargetError(ModelError):
    """The target failed while decoding."""

    code = "target"


class DraftError(ModelError):
    """The draft failed or does not suit the target."""

    code = "draft"


class DraftFullError(DraftError):
    """Nothing more fits the draft's context, which is smaller than the target's."""

    code = "draft_full"

    @classmethod
    def of(cls, context_tokens: int) -> DraftFullError:
        """Return the error of a draft whose context has so many tokens."""
        return cls(f"the draft's context is full: {context_tokens} tokens")


class EngineError(SpecChatError):
    """The engine worker failed."""

    code = "engine"


class EngineCrashedError(EngineError):
    """The worker process died."""

    code = "engine_crashed"


class EngineStalledError(EngineError):
    """The worker made no progress for too long."""

    code = "engine_stalled"


class ProtocolError(EngineError):
    """A message between app and worker could not be understood."""

    code = "protocol"


class StorageError(SpecChatError):
    """What is kept on disk cannot be read or written."""

    code = "storage"


class BackendError(SpecChatError):
    """Nothing could answer, or not to the end."""

    code = "backend"


class OllamaUnavailableError(BackendError):
    """Ollama cannot be reached, fell silent, or ended the connection."""

    code = "ollama_unavailable"


class OllamaAnswerError(BackendError):
    """Ollama says that something is wrong; `status` is None for an error amid an answer."""

    code = "ollama_answer"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class OllamaProtocolError(BackendError):
    """What Ollama sent is too long, cut off, or no sound answer."""

    code = "ollama_protocol"


def _subclasses(cls: type[SpecChatError]) -> list[type[SpecChatError]]:
    return [cls] + [found for child in cls.__subclasses__() for found in _subclasses(child)]


BY_CODE: dict[str, type[SpecChatError]] = {cls.code: cls for cls in _subclasses(SpecChatError)}


def from_code(code: str, message: str) -> SpecChatError:
    """Return the error that `code` names, as it was raised on the other side of a wire."""
    return BY_CODE.get(code, SpecChatError)(message)
