"""Every way in which Ollama fails, as one of our errors with what to do about it."""

from __future__ import annotations

import re

import httpx

from utils.errors import (
    BackendError,
    OllamaAnswerError,
    OllamaProtocolError,
    OllamaUnavailableError,
)

NOT_FOUND, BUSY, SERVER_ERRORS, REDIRECTS = 404, 503, range(500, 600), range(300, 400)
MAX_SHOWN_CHARS, MAX_READ_CHARS = 300, 4000
# Words of Ollama and of the system below it, and what helps; the first that fits counts.
_ADVICE = (
    ("no space left", "make room on Ollama's disk and pull again: it goes on where it stopped"),
    ("digest mismatch", "the download is damaged: pull the model again"),
    ("manifest: file does not exist", "there is no such model to pull: check its name"),
    ("more system memory", "unload other models, or choose a smaller one"),
    ("out of memory", "unload other models, or choose a smaller one"),
    ("does not support", "choose another model"),
)
# What httpx says of a server that is gone.
_HUNG_UP = re.compile("peer closed connection|server disconnected", re.IGNORECASE)
# What Ollama says of a host it cannot get to: the address it asked, and last the system's reason.
_NOT_REACHED = re.compile(
    r"https?://([^/\"\s]+).*: "
    r"([^:]*(?:no such host|refused|timeout|timed out|unreachable|no route to host)[^:]*)$"
)
# What Ollama says of a name that no registry has, or does not give out; 408 and 429 pass.
_REFUSED_FOR_GOOD = re.compile(r"manifest: (file does not exist|4(?!08|29)\d\d)|invalid model name")


def answer_error(text: object, status: int) -> OllamaAnswerError:
    """Return the error for what Ollama says is wrong; a status below 100 means amid an answer."""
    words = " ".join(str(text).split()) or "no reason given"
    if status < 100 and (cause := _NOT_REACHED.search(words[:MAX_READ_CHARS])):
        host, reason = (part[:MAX_SHOWN_CHARS] for part in cause.groups())
        return OllamaAnswerError(
            f"Ollama cannot reach {host}: {reason}; see that its machine is online, then try again"
        )
    if len(words) > MAX_SHOWN_CHARS:
        words = words[:MAX_SHOWN_CHARS] + "…"
    if status < 100:
        return OllamaAnswerError(_sentence("Ollama failed", words, ""))
    if status in REDIRECTS:
        problem = f"Ollama answered with a redirect, status {status}, that is not followed"
        return OllamaAnswerError(
            f"{problem}: set SPECCHAT_OLLAMA_URL to the server itself", status=status
        )
    advice = ""
    if status == NOT_FOUND:
        advice = "pull the model first"
    elif status == BUSY:
        advice = "ask again later"
    elif status in SERVER_ERRORS:
        advice = "its log says more"
    return OllamaAnswerError(
        _sentence(f"Ollama refused with status {status}", words, advice), status=status
    )


def connection_error(error: Exception, url: str) -> OllamaUnavailableError:
    """Return the error for a connection that did not come about, broke, or fell silent."""
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return OllamaUnavailableError(
            f"Ollama at {url} does not answer in time: ask again, or start it anew"
        )
    if isinstance(error, httpx.ConnectTimeout):
        return OllamaUnavailableError(
            f"Ollama at {url} cannot be reached: nothing answers there; "
            "is SPECCHAT_OLLAMA_URL right, and the machine up?"
        )
    if isinstance(error, httpx.ConnectError | ConnectionError):
        return OllamaUnavailableError(f"Ollama is not running at {url}: start it, then ask again")
    reason = "it hung up" if _HUNG_UP.search(str(error)) else _short(error)
    return OllamaUnavailableError(f"the connection to Ollama broke: {reason}; ask again")


def sense_error(error: Exception) -> OllamaProtocolError:
    """Return the error for an answer that makes no sense."""
    return OllamaProtocolError(
        f"Ollama's answer is not understood ({type(error).__name__}): "
        "is another program listening there, or is it too old?"
    )


def may_pass(error: BaseException) -> bool:
    """Tell whether what failed may work later with nothing changed here."""
    return isinstance(error, BackendError) and not _REFUSED_FOR_GOOD.search(str(error))


def _sentence(problem: str, words: str, advice: str) -> str:
    lower = words.lower()
    advice = next((help_ for word, help_ in _ADVICE if word in lower), advice)
    return f"{problem}: {words}" + (f"; {advice}" if advice else "")


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:MAX_SHOWN_CHARS]
