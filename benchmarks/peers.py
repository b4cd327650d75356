"""Our tokens per second beside those of others, on the same files and prompts, in one sitting.

Each prompt goes to all engines in turn and to all in reverse order, so that only one computes at a
time and drift hits all alike. Others are compared at the best of their settings: the one with the
highest mean over the categories, found afterwards, as somebody would who tunes by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any, Protocol

from benchmarks.assisted_generation import transformers_engines
from benchmarks.comparison import Setting
from benchmarks.llama_server import LlamaServer, ServerSetting, has_device
from benchmarks.python_peers import PythonLookup
from benchmarks.rig import ADAPTIVE, PLAIN, Rig, Way
from config import SamplingParams
from utils.llama.library import has_gpu
from utils.performance_monitor import ratio
from utils.prompt_suite import Suite

OURS = "SpecChat, adaptive"
OURS_PLAIN = "SpecChat, plain"
SERVER = "llama-server, "
Tell = Callable[[str], None]


class Engine(Protocol):
    """Whatever answers prompts, with all its layers on a GPU or on the processor."""

    name: str
    on_gpu: bool

    def tokens_per_second(self, prompt: Sequence[int], sampling: SamplingParams) -> float:
        """Answer, and return the rate of decoding, prompt and first token left out."""


class OwnEngine:
    """We ourselves, in one way."""

    def __init__(self, rig: Rig, way: Way, name: str) -> None:
        self.name, self.on_gpu = name, has_gpu()
        self._rig = rig
        self._way = way

    def tokens_per_second(self, prompt: Sequence[int], sampling: SamplingParams) -> float:
        """Answer from caches that hold nothing but the prompt, read by the draft as by others'.

        So that what all take to read prompts is left out alike.
        """
        self._rig.forget()
        self._rig.let_draft_read(prompt)
        return self._rig.answer(prompt, sampling, self._way).stats.tokens_per_second


@dataclass(slots=True)
class PeerRates:
    """Tokens per second by engine and category: medians of each prompt's runs."""

    rates: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    # What computed on the processor while we did on a GPU: there is no ratio to it.
    left_on_processor: list[str] = field(default_factory=list)

    def add(self, engine: str, category: str, rate: float) -> None:
        """Take in a prompt; rate 0, of an answer of one token, says nothing."""
        if rate > 0:
            self.rates.setdefault(engine, {}).setdefault(category, []).append(rate)

    def category(self, engine: str, category: str) -> float:
        """Return the median over the prompts of a category, 0 without any."""
        return median(self.rates.get(engine, {}).get(category) or [0.0])

    def mean(self, engine: str) -> float:
        """Return the mean over the categories."""
        return fmean(median(rates) for rates in self.rates[engine].values())

    def best(self, prefix: str) -> str | None:
        """Return the fastest engine whose name begins so, plain decoding being one setting."""
        found = [name for name in self.rates if name.startswith(prefix)]
        return max(found, key=self.mean, default=None)

    def ours_over(self, engine: str | None) -> float | None:
        """Return our adaptive rate over that of an engine, means over the categories.

        None of an engine that was not measured, or not on what we were measured on.
        """
        if engine is None or OURS not in self.rates or engine not in self.rates:
            return None
        if engine in self.left_on_processor:
            return None
        return ratio(self.mean(OURS), self.mean(engine))

    def as_dict(self) -> dict[str, Any]:
        """Return the rates for JSON."""
        best = self.best(SERVER)
        return {
            "best_llama_server": best,
            "adaptive_vs": {name: self.ours_over(name) for name in self.rates if name != OURS},
            "tokens_per_second": {
                name: {category: median(rates) for category, rates in found.items()}
                for name, found in self.rates.items()
            },
            "notes": self.notes,
            "left_on_processor": self.left_on_processor,
        }

    @property
    def conditions(self) -> str:
        """Say which engines are not compared, if any, for what they were measured on."""
        if not self.left_on_processor:
            return ""
        names = ", ".join(dict.fromkeys(name.split(",")[0] for name in self.left_on_processor))
        return f"SpecChat computed on a GPU, but on the processor: {names}; no ratio to these."

    @property
    def adaptive_vs_llama_server(self) -> float | None:
        """Our adaptive rate over llama-server's at the best of its settings."""
        return self.ours_over(self.best(SERVER))


def measure_peers(
    rig: Rig,
    suite: Suite,
    setting: Setting,
    *,
    program: Path,
    settings: Sequence[ServerSetting],
    tell: Tell = lambda _line: None,
) -> PeerRates:
    """Start all engines, ask all, and stop them; one that cannot start is noted."""
    target, options = rig.target.header.path, rig.target.info
    draft = rig.draft.header.path if rig.draft else None
    result, on_gpu = PeerRates(), has_gpu() and has_device(program)
    with ExitStack() as stack:
        engines: list[Engine] = [
            OwnEngine(rig, ADAPTIVE, OURS),
            OwnEngine(rig, PLAIN, OURS_PLAIN),
        ]
        for server_setting in settings:
            tell(f"starting llama-server: {server_setting.name}")
            try:
                server = LlamaServer(
                    program,
                    server_setting,
                    target=target,
                    draft=draft,
                    threads=options.threads,
                    context_tokens=options.context_tokens,
                    on_gpu=on_gpu,
                )
            except (RuntimeError, OSError) as error:
                result.notes.append(f"llama-server, {server_setting.name}: {error}")
                continue
            server.name = f"{SERVER}{server_setting.name}"
            engines.append(stack.enter_context(closing(server)))
        lookup = PythonLookup(
            target, threads=options.threads, context_tokens=options.context_tokens
        )
        engines.append(stack.enter_context(closing(lookup)))
        generations, notes = transformers_engines(rig, tell)
        engines += generations
        result.notes += notes
        result.left_on_processor = left_on_processor(engines)
        ask_all(engines, rig, suite, setting, result, tell)
    return result


def left_on_processor(engines: Sequence[Engine]) -> list[str]:
    """Name the engines that do not compute on the GPU that the first, ours, computes on."""
    return [engine.name for engine in engines if engines[0].on_gpu and not engine.on_gpu]


def ask_all(
    engines: Sequence[Engine],
    rig: Rig,
    suite: Suite,
    setting: Setting,
    result: PeerRates,
    tell: Tell,
) -> None:
    """Let every engine answer every prompt, forwards and backwards, as often as set."""
    rig.begin_user()
    for category, prompts in suite.items():
        for turns in prompts:
            prompt = rig.encode(*turns)
            rates: dict[str, list[float]] = {engine.name: [] for engine in engines}
            for _ in range(setting.repeats):
                for engine in (*engines, *reversed(engines)):
                    rate = engine.tokens_per_second(prompt, setting.sampling)
                    rates[engine.name].append(rate)
            for name, found in rates.items():
                result.add(name, category, median(found))
            tell(f"{category}: {', '.join(f'{n} {median(r):.0f}' for n, r in rates.items())}")
