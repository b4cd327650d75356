"""What a token of a draft takes: kept of quiet machines, and where to begin the next time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config import ModelOptions, Settings, SpeculativeConfig
from tests.engine.conftest import greedy, user
from tests.tiny_gguf import write_tiny_gguf
from utils.engine import draft_times
from utils.engine.calibration import costs_file, costs_folder, keep
from utils.engine.draft_times import recall_token_s, time_tokens, token_time_file
from utils.engine.engine import Engine
from utils.engine.protocol import DraftChoice, Generate, Load
from utils.llama.model import LlamaModel
from utils.llama.session import LlamaSession
from utils.llama.short_passes import TokenTimes

OPTIONS = ModelOptions(context_tokens=1024, threads=1, batch_threads=1, batch_tokens=64)
Measure = Callable[[float, float], None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaModel]:
    path = write_tiny_gguf(tmp_path_factory.mktemp("models") / "draft.gguf")
    with LlamaModel.open(path, OPTIONS) as opened:
        yield opened


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Decide what is measured of any draft, at best and usually."""

    def decide(best_s: float, usual_s: float) -> None:
        times = TokenTimes(best_s, usual_s)
        monkeypatch.setattr(draft_times, "settle_threads", lambda *_: times)

    return decide


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "costs" / "draft.json"


@pytest.mark.parametrize(
    ("usual_s", "is_quiet", "is_kept"),
    [(0.011, True, True), (0.03, True, False), (0.011, False, False)],
)
def test_the_time_of_a_token_is_kept_only_where_the_machine_was_quiet(
    model: LlamaModel, measure: Measure, kept: Path, usual_s: float, is_quiet: bool, is_kept: bool
):
    measure(0.01, usual_s)
    assert time_tokens(model, kept, is_quiet=lambda: is_quiet) == 0.01
    assert recall_token_s(kept) == (0.01 if is_kept else None)


def test_a_draft_begins_with_what_was_kept_where_the_machine_is_slower_now(
    model: LlamaModel, measure: Measure, kept: Path
):
    keep(kept, {0: {1: 0.01}})
    measure(0.02, 0.02)
    assert time_tokens(model, kept, is_quiet=lambda: False) == 0.01
    assert recall_token_s(kept) == 0.01


def test_what_is_measured_of_a_quiet_machine_takes_the_place_of_what_was_kept(
    model: LlamaModel, measure: Measure, kept: Path
):
    keep(kept, {0: {1: 0.01}})
    for token_s in (0.02, 0.005):
        measure(token_s, token_s)
        assert time_tokens(model, kept, is_quiet=lambda: True) <= token_s
        assert recall_token_s(kept) == token_s


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "0.001",
        '{"0": 0.001}',
        '{"0": {"1": 0}}',
        '{"0": {"1": -0.001}}',
        '{"0": {"1": NaN}}',
        '{"0": {"1": Infinity}}',
        '{"0": {"1": 1' + 400 * "0" + "}}",
        '{"0": {"2": 0.001}}',
        '{"17": {"1": 0.001}}',
        '{"token_s": 0.001}',
        "[" * 100_000,
    ],
)
def test_a_file_that_says_nothing_sensible_is_not_believed_and_written_anew(
    model: LlamaModel, measure: Measure, kept: Path, text: str
):
    kept.parent.mkdir()
    kept.write_text(text)
    measure(0.01, 0.01)
    assert recall_token_s(kept) is None
    assert time_tokens(model, kept, is_quiet=lambda: True) == 0.01
    assert recall_token_s(kept) == 0.01


@pytest.mark.parametrize(("told_s", "begins_s"), [(1e-12, 0.0025), (1e12, 0.01)])
def test_a_time_that_cannot_be_is_not_believed(
    model: LlamaModel, measure: Measure, kept: Path, told_s: float, begins_s: float
):
    keep(kept, {0: {1: told_s}})
    measure(0.01, 0.01)
    assert time_tokens(model, kept, is_quiet=lambda: True) == begins_s


def test_times_of_a_draft_stand_apart_from_those_of_the_same_model_as_a_target(tmp_path: Path):
    settings, path = Settings(cache_folder=tmp_path), tmp_path / "model.gguf"
    as_target = costs_file(path, OPTIONS, settings)
    as_draft = token_time_file(path, OPTIONS, costs_folder(settings))
    assert as_draft.parent == as_target.parent
    assert as_draft != as_target


def test_a_folder_that_cannot_be_written_is_no_error(
    model: LlamaModel, measure: Measure, tmp_path: Path
):
    (tmp_path / "file").write_text("")
    measure(0.01, 0.01)
    kept = tmp_path / "file" / "draft.json"
    assert time_tokens(model, kept, is_quiet=lambda: True) == 0.01


async def test_a_draft_that_is_opened_again_begins_with_the_time_that_was_kept(
    folder: Path, tmp_path: Path, measure: Measure
):
    draft, costs = folder / "draft.gguf", tmp_path / "costs"
    kept = token_time_file(draft, OPTIONS, costs)
    for best_s, usual_s in ((1e-6, 1e-6), (3e-6, 1.0)):
        measure(best_s, usual_s)
        assert await first_belief(folder / "target.gguf", draft, costs) == 1e-6
        assert recall_token_s(kept) == 1e-6


async def test_nothing_is_kept_while_others_make_the_target_decode_with_fewer_threads(
    folder: Path, tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(LlamaSession, "has_all_threads", property(lambda _: False))
    measure(1e-6, 1e-6)
    draft, costs = folder / "draft.gguf", tmp_path / "costs"
    assert await first_belief(folder / "target.gguf", draft, costs) == 1e-6
    assert recall_token_s(token_time_file(draft, OPTIONS, costs)) is None


async def first_belief(target: Path, draft: Path, costs: Path) -> float:
    """Answer once with a new engine; return what it took a token of the draft to cost at first."""
    engine = Engine()
    load = Load(id="l", path=str(target), options=OPTIONS, costs_path=str(costs / "target.json"))
    await engine.load(load, report=lambda *_: None, should_stop=lambda: False)
    request = Generate(
        id="g",
        messages=tuple(user("hello")),
        sampling=greedy(4),
        speculative=SpeculativeConfig(),
        draft=DraftChoice(kind="model", name="draft", path=str(draft)),
    )
    async for _ in engine.generate(request, lambda: False):
        pass
    (opened,) = engine._target.drafts._models.values()
    engine.close()
    return opened.token_s
