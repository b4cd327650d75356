"""The figures as JSON, as a text table and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.comparison import ALL, CategoryResult, Setting
from benchmarks.latency import Latency
from benchmarks.loop import LoopCost
from benchmarks.machine import Machine

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class PairResult:
    """A target and a drafter under one setting."""

    target: str
    draft: str
    type: str
    setting: Setting
    categories: list[CategoryResult]

    @property
    def title(self) -> str:
        """What was measured, in one line."""
        return f"{self.target} {self.type}, {self.way}"

    @property
    def way(self) -> str:
        """How was drafted and sampled."""
        setting = self.setting
        sampling = f"temperature {setting.temperature:g}" if setting.temperature else "greedy"
        return f"draft {self.draft} ({setting.draft_length} tokens), {sampling}"


@dataclass(slots=True)
class Report:
    """All that one run of the command measured."""

    machine: Machine
    pairs: list[PairResult] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    loop: LoopCost | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        pairs = [
            {
                "target": pair.target,
                "draft": pair.draft,
                "type": pair.type,
                "temperature": pair.setting.temperature,
                "draft_length": pair.setting.draft_length,
                "threshold": pair.setting.threshold,
                "categories": [asdict(category) for category in pair.categories],
            }
            for pair in self.pairs
        ]
        return {
            "machine": self.machine.as_dict(),
            "pairs": pairs,
            "latencies": [asdict(latency) for latency in self.latencies],
            "loop": asdict(self.loop) if self.loop else None,
        }

    def as_text(self) -> str:
        """Return tables for a terminal."""
        return "\n\n".join(f"{title}\n{_text_table(rows)}" for title, rows in self._tables())

    def as_markdown(self) -> str:
        """Return tables for a document: the categories in one, a column a setting."""
        machine = self.machine
        conditions = (
            f"{machine.processor}, {machine.physical_cores} physical cores, {machine.system}, "
            f"llama-cpp-python {machine.llama_cpp_python}, {machine.date}; load average before: "
            f"{machine.load_average}."
        )
        tables = [
            (f"{title}; speedup (95 % interval), acceptance rate", _overview_rows(pairs))
            for title, pairs in _by_target(self.pairs).items()
        ]
        tables += self._tables()[len(self.pairs) :]
        parts = (f"{title}:\n\n{_markdown_table(rows)}" for title, rows in tables)
        return "\n\n".join([conditions, *parts]) + "\n"

    def _tables(self) -> list[tuple[str, list[Row]]]:
        tables = [(pair.title, _pair_rows(pair)) for pair in self.pairs]
        if self.latencies:
            tables.append(("Latency", _latency_rows(self.latencies)))
        if self.loop:
            tables.append(("Plain decoding against a bare loop", _loop_rows(self.loop)))
        return tables


def _by_target(pairs: Sequence[PairResult]) -> dict[str, list[PairResult]]:
    targets: dict[str, list[PairResult]] = {}
    for pair in pairs:
        targets.setdefault(f"{pair.target} {pair.type}", []).append(pair)
    return targets


def _overview_rows(pairs: Sequence[PairResult]) -> list[Row]:
    """Return a row a category, the one with the worst figure first, and all prompts last."""
    found = [{category.name: category for category in pair.categories} for pair in pairs]
    names = sorted(found[0], key=lambda name: min(column[name].speedup for column in found))
    names = [*(name for name in names if name != ALL), ALL]
    cells = [[name, *(_cell(column[name]) for column in found)] for name in names]
    return [["category", *(pair.way for pair in pairs)], *cells]


def _cell(category: CategoryResult) -> str:
    interval = f"{category.low:.2f} to {category.high:.2f}"
    return f"{category.speedup:.2f} ({interval}), {category.acceptance:.0%}"


def _pair_rows(pair: PairResult) -> list[Row]:
    header = (
        "category",
        "speedup",
        "interval (95 %)",
        "acceptance",
        "tokens/forward",
        "plain tokens/s",
        "same text",
    )
    return [
        header,
        *(
            (
                category.name,
                f"{category.speedup:.2f}",
                f"{category.low:.2f} to {category.high:.2f}",
                f"{category.acceptance:.0%}",
                f"{category.tokens_per_forward:.2f}",
                f"{category.plain_tokens_per_second:.0f}",
                f"{category.same_texts} of {category.prompts}",
            )
            for category in pair.categories
        ),
    ]


def _latency_rows(latencies: Sequence[Latency]) -> list[Row]:
    header = (
        "drafter",
        "prompt tokens",
        "TTFT ms",
        "TPOT ms",
        "slowest round ms",
        "second turn: read of prompt tokens",
    )
    return [
        header,
        *(
            (
                latency.drafter,
                f"{latency.prompt_tokens}",
                f"{latency.ttft_ms:.1f}",
                f"{latency.tpot_ms:.2f}",
                f"{latency.slowest_round_ms:.1f}",
                f"{latency.second_prefilled_tokens} of {latency.second_prompt_tokens}",
            )
            for latency in latencies
        ),
    ]


def _loop_rows(loop: LoopCost) -> list[Row]:
    return [
        ("target", "tokens", "bare us/token", "ours us/token", "bookkeeping"),
        (
            loop.target,
            f"{loop.tokens}",
            f"{loop.bare_us:.0f}",
            f"{loop.ours_us:.0f}",
            f"{loop.bookkeeping_share:.1%}",
        ),
    ]


def _text_table(rows: Sequence[Row]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _markdown_table(rows: Sequence[Row]) -> str:
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))
