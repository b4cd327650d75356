"""A hybrid target in the engine: drafted for where llama.cpp keeps snapshots of its state."""

from pathlib import Path

import pytest

from config import SpeculativeConfig
from tests.engine.conftest import drafted
from tests.engine.test_engine import ADAPTIVE, OPTIONS, answer, load, model
from tests.tiny_hybrid import ARCHITECTURES, write_tiny_hybrid
from utils.cost_table import CostTable
from utils.engine.calibration import time_passes
from utils.engine.engine import Engine
from utils.engine.protocol import DraftChoice
from utils.events import Mode, Tokens
from utils.llama.gguf_header import estimate_cache_bytes, estimate_memory_bytes, read_header
from utils.llama.model import LlamaModel
from utils.llama.recurrent_session import RecurrentSession

LOOKUP_CHOICE = DraftChoice(kind="lookup", name="lookup")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
async def test_it_is_drafted_for_and_its_text_is_that_of_standard_mode(
    folder: Path, tmp_path: Path, architecture: str
):
    own = Engine()
    await load(own, write_tiny_hybrid(tmp_path / "hybrid.gguf", architecture, context=1024))
    plain = await answer(own, "hello " * 20, max_tokens=100)
    # Where passes cost the same however wide they are, all that is found is drafted.
    own._target.costs = CostTable({0: {1: 1e-3, 17: 1e-3}}, max_width=17)
    for choice in (LOOKUP_CHOICE, model(folder / "draft.gguf")):
        for speculative in (ADAPTIVE, drafted("any"), drafted("any", max_draft_tokens=16)):
            heard = await answer(own, "hello " * 20, choice, speculative, max_tokens=100)
            assert heard.all(Mode)[0].mode == "speculative", heard.mode.reason
            assert heard.text == plain.text
            rounds = [stats for event in heard.all(Tokens) for stats in event.rounds]
            longest = max(stats.drafted for stats in rounds)
            assert longest <= own._target.model.returnable_tokens
    assert longest > 0
    own.close()


async def test_what_can_be_drafted_is_bounded_by_what_can_be_taken_back(tmp_path: Path):
    own = Engine()
    await load(own, write_tiny_hybrid(tmp_path / "hybrid.gguf", "qwen35", context=1024))
    shelf, reach = own._target.drafts, own._target.model.returnable_tokens
    assert reach < 16
    assert shelf.within_reach(SpeculativeConfig(max_draft_tokens=16)).max_draft_tokens == reach
    assert shelf.within_reach(SpeculativeConfig(max_draft_tokens=2)).max_draft_tokens == 2
    own.close()


async def test_measuring_passes_reads_the_text_before_them_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_tiny_hybrid(tmp_path / "hybrid.gguf", "qwen35", context=1024)
    with LlamaModel.open(path, OPTIONS) as opened:
        read: list[int] = []
        decode = RecurrentSession.decode

        def noted(self, token_ids, *, rows, width=0):
            if not rows:
                read.append(len(token_ids))
            return decode(self, token_ids, rows=rows, width=width)

        monkeypatch.setattr(RecurrentSession, "decode", noted)
        passes = time_passes(opened.session, [7] * 20, max_rows=17, should_stop=lambda: False)
        assert set(passes[20]) >= set(range(1, 18))
        assert sum(read) == max(passes)


def test_the_memory_estimate_includes_the_states(tmp_path: Path):
    header = read_header(write_tiny_hybrid(tmp_path / "hybrid.gguf", "qwen35"))
    states = header.state_bytes * (header.snapshots + 2)
    # One of its three layers is an attention layer.
    cache = OPTIONS.context_tokens // 2 * 2 * 2 * header.key_length
    assert header.snapshots > 0
    assert estimate_cache_bytes(header, OPTIONS.context_tokens // 2) == cache + states
    assert estimate_memory_bytes(header, 512) > header.size_bytes + cache + states
