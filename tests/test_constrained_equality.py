"""Under a grammar speculative text equals plain text, token for token, through the real llama.cpp.

The tiny pair is Q4_0, where rows of logits are the same at any width (see `test_equality.py`);
the embedded pair is run with passes of equal width. What ends by itself is always JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from config import ROOT, ModelOptions, SamplingParams, SpeculativeConfig
from tests.tiny_gguf import write_tiny_pair
from utils.drafters.lookup import LookupDrafter
from utils.drafters.model_drafter import ModelDrafter
from utils.drafters.protocol import Drafter
from utils.events import Finished, Mode, Tokens
from utils.grammar.tokens import Constraints
from utils.llama.model import LlamaModel
from utils.performance_monitor import FinishReason
from utils.speculative_decoding import SpeculativeDecoder

pytestmark = pytest.mark.no_cover

OPTIONS = ModelOptions(
    context_tokens=512, batch_tokens=64, threads=1, batch_threads=1, flash_attention="on"
)
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "kind": {"enum": ["cat", "dog", "cattle"]},
            "sizes": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
            "more": {"type": ["boolean", "null"]},
        },
        "required": ["name", "kind"],
    }
)


@dataclass
class Written:
    tokens: list[int]
    text: str
    reason: FinishReason
    drafted: int
    accepted: int


class Pair:
    """A target, its draft, and the constraints over their tokens."""

    def __init__(self, target: Path, draft: Path, *, deterministic: bool) -> None:
        self.models = [LlamaModel.open(path, OPTIONS) for path in (target, draft)]
        self.vocabulary = self.models[0].vocabulary
        self.drafters: dict[str, Drafter] = {
            "draft": ModelDrafter(
                "draft", self.models[1].session, vocabulary_size=self.vocabulary.size
            ),
            "lookup": LookupDrafter(),
        }
        self.constraints = Constraints(self.vocabulary)
        self._decoder = SpeculativeDecoder(self.models[0].session, self.vocabulary)
        self._deterministic = deterministic

    async def write(
        self, prompt: Sequence[int], sampling: SamplingParams, drafter: Drafter | None
    ) -> Written:
        tokens, drafted, accepted, reason = [], 0, 0, None
        async for event in self._decoder.generate(
            prompt,
            sampling=sampling,
            speculative=SpeculativeConfig(
                max_draft_tokens=4, acceptance_threshold=0, deterministic=self._deterministic
            ),
            drafter=drafter,
            constraint=self.constraints.take(sampling),
        ):
            if isinstance(event, Mode):
                assert drafter is None or event.mode == "speculative", event
            if isinstance(event, Tokens):
                tokens += event.tokens
                drafted += sum(each.drafted for each in event.rounds)
                accepted += sum(each.accepted for each in event.rounds)
            if isinstance(event, Finished):
                reason = event.reason
        assert reason is not None
        text = "".join(token.text for token in tokens)
        return Written([token.token_id for token in tokens], text, reason, drafted, accepted)


@pytest.fixture(scope="module", params=["tiny", "embedded"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    if request.param == "tiny":
        paths = write_tiny_pair(tmp_path_factory.mktemp("pair"))
    else:
        paths = (ROOT / "models" / "demo-target.gguf", ROOT / "models" / "demo-draft.gguf")
    made = Pair(*paths, deterministic=request.param == "embedded")
    yield made
    for model in made.models:
        model.close()


FORMS = {
    "schema": {"json_schema": SCHEMA},
    "json": {"json_output": True},
    "grammar": {"grammar": 'root ::= ("- " [a-z ]{1,20} "\\n"){3}'},
}


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("form", FORMS)
async def test_speculative_text_is_plain_text_and_keeps_its_form(
    pair: Pair, form: str, temperature: float, prompts: int
) -> None:
    drafted = accepted = ended = 0
    answers = max(1, prompts // 4 if form != "json" else prompts // 8)
    for number in range(answers):
        prompt = pair.vocabulary.tokenize(f"Make a record of {number}: ", parse_special=False)
        sampling = SamplingParams(
            temperature=temperature,
            seed=number,
            max_tokens=200 - 100 * (form == "json"),
            **FORMS[form],
        )
        plain = await pair.write(prompt, sampling, None)
        for drafter in pair.drafters.values():
            written = await pair.write(prompt, sampling, drafter)
            assert written.tokens == plain.tokens
            drafted, accepted = drafted + written.drafted, accepted + written.accepted
        if plain.reason != "stop":
            continue
        ended += 1
        if form == "grammar":
            assert plain.text.count("\n") == 3
        else:
            value = json.loads(plain.text)
            assert isinstance(value, dict)
            if form == "schema":
                assert value["kind"] in ("cat", "dog", "cattle")
                assert set(value) <= {"name", "kind", "sizes", "more"}
                assert len(value["name"]) <= 12
    assert accepted > 0
    assert ended == answers or form == "json"


async def test_without_a_grammar_the_same_prompts_are_no_json(pair: Pair) -> None:
    prompt = pair.vocabulary.tokenize("Make a record: ", parse_special=False)
    free = await pair.write(prompt, SamplingParams(temperature=0, max_tokens=60), None)
    with pytest.raises(json.JSONDecodeError):
        json.loads(free.text)
