"""The figures as JSON, as a text table and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.comparison import CategoryResult, Setting
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
        way = f"temperature {self.setting.temperature:g}" if self.setting.temperature else "greedy"
        return f"{self.target} {self.type}, draft {self.draft} ({self.setting.draft_length}), {way}"


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
        """Return tables for a document."""
        machine = self.machine
        conditions = (
            f"{machine.processor}, {machine.physical_cores} physical cores, {machine.system}, "
            f"llama-cpp-python {machine.llama_cpp_python}, {machine.date}, "
            f"load average before {machine.load_average}."
        )
        tables = (f"{title}:\n\n{_markdown_table(rows)}" for title, rows in self._tables())
        return "\n\n".join([conditions, *tables]) + "\n"

    def _tables(self) -> list[tuple[str, list[Row]]]:
        tables = [(pair.title, _pair_rows(pair)) for pair in self.pairs]
        if self.latencies:
            tables.append(("Latency", _latency_rows(self.latencies)))
        if self.loop:
            tables.append(("Plain decoding against a bare loop", _loop_rows(self.loop)))
        return tables


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
