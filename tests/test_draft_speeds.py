"""How fast answers were with each draft: kept, and believed only where it can be."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config import ModelOptions, Settings
from utils.draft_speeds import (
    MOST_DRAFTS,
    MOST_TOKENS,
    key_of,
    note_speed,
    recall_speeds,
    speeds_file,
)
from utils.performance_monitor import Baseline, GenerationStats


def answer(tokens: int = 100, *, decode_s: float = 1.0, plain_tps: float = 50.0) -> GenerationStats:
    return GenerationStats(
        prompt_tokens=10,
        reused_tokens=0,
        completion_tokens=tokens,
        prefill_s=0.1,
        ttft_s=0.1,
        decode_s=decode_s,
        rounds=tokens,
        drafted=0,
        accepted=0,
        accepted_histogram=(),
        baseline=Baseline(plain_tps, "running", 10),
    )


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "speeds" / "target.json"


def test_answers_add_up_by_draft(kept: Path, tmp_path: Path) -> None:
    draft = tmp_path / "draft.gguf"
    draft.write_bytes(b"GGUF")
    note_speed(kept, draft, answer(100, decode_s=1.0))
    note_speed(kept, draft, answer(300, decode_s=3.0))
    note_speed(kept, None, answer(100, decode_s=2.0))
    speeds = recall_speeds(kept)
    assert (speeds[key_of(draft)].answers, speeds[key_of(draft)].tokens) == (2, 400)
    assert speeds[key_of(draft)].speedup == pytest.approx(2.0)
    assert speeds["lookup"].speedup == pytest.approx(1.0)


def test_answers_that_end_together_are_all_noted(kept: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        for _ in range(100):
            threads.submit(note_speed, kept, None, answer(50))
    assert recall_speeds(kept)["lookup"].answers == 100


def test_a_record_tells_once_there_is_enough_of_it(kept: Path) -> None:
    note_speed(kept, None, answer(300))
    assert not recall_speeds(kept)["lookup"].is_telling
    note_speed(kept, None, answer(300))
    assert recall_speeds(kept)["lookup"].is_telling


@pytest.mark.parametrize("stats", [answer(10), answer(plain_tps=0.0), answer(decode_s=0.0)])
def test_what_cannot_be_compared_is_not_kept(kept: Path, stats: GenerationStats) -> None:
    note_speed(kept, None, stats)
    assert recall_speeds(kept) == {}


def test_what_was_long_ago_counts_for_less(kept: Path) -> None:
    note_speed(kept, None, answer(MOST_TOKENS, decode_s=MOST_TOKENS / 50))
    for _ in range(20):
        note_speed(kept, None, answer(MOST_TOKENS // 4, decode_s=MOST_TOKENS / 4 / 100))
    speed = recall_speeds(kept)["lookup"]
    assert speed.tokens < 2 * MOST_TOKENS
    assert speed.speedup == pytest.approx(2.0, rel=0.02)


def test_no_more_than_some_drafts_are_kept_the_newest(kept: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.gguf" for number in range(MOST_DRAFTS + 2)]
    for path in paths:
        note_speed(kept, path, answer())
    speeds = recall_speeds(kept)
    assert len(speeds) == MOST_DRAFTS
    assert key_of(paths[-1]) in speeds
    assert key_of(paths[0]) not in speeds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"lookup": 1}',
        '{"lookup": {"answers": 1}}',
        "[" * 100_000,
        '{"lookup": {"answers": 1, "tokens": 1' + 400 * "0" + ', "decode_s": 1, "plain_s": 1}}',
        '{"lookup": {"answers": 1, "tokens": 9, "decode_s": NaN, "plain_s": 1}}',
        '{"lookup": {"answers": 1, "tokens": 9, "decode_s": -1, "plain_s": 1}}',
        '{"lookup": {"answers": 1, "tokens": "9", "decode_s": 1, "plain_s": 1}}',
        '{"lookup": {"answers": 1, "tokens": 9, "decode_s": 1, "plain_s": 1, "more": 1}}',
    ],
)
def test_a_damaged_file_tells_nothing_and_is_written_anew(kept: Path, text: str) -> None:
    kept.parent.mkdir()
    kept.write_text(text)
    assert recall_speeds(kept) == {}
    note_speed(kept, None, answer())
    assert list(recall_speeds(kept)) == ["lookup"]


def test_a_file_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    note_speed(tmp_path / "file" / "target.json", None, answer())


def test_a_target_opened_otherwise_has_speeds_of_its_own(tmp_path: Path) -> None:
    settings = Settings(cache_folder=tmp_path)
    files = {
        speeds_file(tmp_path / "a.gguf", ModelOptions(**changes), settings)
        for changes in ({}, {"threads": 1}, {"context_tokens": 512})
    }
    assert len(files) == 3


def test_nothing_but_numbers_is_kept(kept: Path, tmp_path: Path) -> None:
    note_speed(kept, tmp_path / "secret-name.gguf", answer())
    assert "secret" not in kept.read_text()
    values = next(iter(json.loads(kept.read_text()).values()))
    assert set(values) == {"answers", "tokens", "decode_s", "plain_s"}
