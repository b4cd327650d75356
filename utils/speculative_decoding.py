"""The round loop: draft, verify, commit, roll back.

State: `tokens` are the committed ids, the prompt included; the last one is not yet in the target's
KV cache. Before a round the target holds exactly `tokens[:-1]` and the drafter a prefix of it. A
round decodes `[tokens[-1], d1..dn]` in one batch, commits the accepted tokens and one more, and
rolls the target back to all committed tokens but the last. Standard mode is the same loop with
nothing drafted.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import replace
from time import perf_counter

from config import SamplingParams, SpeculativeConfig
from utils.constraint import Constraint, HeldAnswer
from utils.cost_table import CostTable
from utils.draft_length import FixedDraftLength
from utils.drafters.guarded import GuardedDrafter
from utils.drafters.portfolio import Portfolio
from utils.drafters.protocol import Drafter, Hindsight
from utils.errors import ModelError, TargetError
from utils.events import Event, Finished, Prefilled, Started, Tokens, TokenSource
from utils.model_session import (
    DecodeAborted,
    FloatArray,
    ModelSession,
    Vocabulary,
    check_prompt,
    common_prefix,
    prefill,
)
from utils.performance_monitor import FinishReason, PerformanceMonitor, PlainClock, RoundStats
from utils.sampling import Distribution, Sampler
from utils.text_stream import TextStream
from utils.token_validator import CoupledVerifier, Draft, Verifier, make_verifier

YIELD_EVERY_S = 0.005
# Wide enough for drafts that pay, not so wide that plain steps crawl.
EQUAL_WIDTH = 8

Emitted = list[tuple[int, TokenSource]]


class SpeculativeDecoder:
    """Writes answers with one target; any drafter, or none, makes no difference to the text."""

    def __init__(
        self, target: ModelSession, vocabulary: Vocabulary, *, clock: PlainClock | None = None
    ) -> None:
        """`clock` collects the time of plain steps over all answers, to measure speedup."""
        self.target = target
        self.vocabulary = vocabulary
        self.clock = clock or PlainClock()
        # What passes cost, once that is known.
        self.costs: CostTable | None = None
        self._last: tuple[Portfolio, _Answer] | None = None

    async def generate(
        self,
        prompt: Sequence[int],
        *,
        sampling: SamplingParams,
        speculative: SpeculativeConfig,
        drafter: Drafter | None = None,
        portfolio: Portfolio | None = None,
        constraint: Constraint | None = None,
        begun: int = 0,
        reason: str = "",
        should_stop: Callable[[], bool] = lambda: False,
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer; `reason` says why there is no drafter, if so.

        A `portfolio` decides by itself what to draft; a `drafter` drafts a fixed number of tokens.
        The answer, of which the last `begun` tokens of the prompt are part, keeps to `constraint`.

        Native calls run on the calling thread; control returns to the event loop every few
        milliseconds. Raises `RequestError` for a prompt that cannot be answered, `TargetError`
        when the target fails, and `DraftError` when the drafter does and no fallback is allowed.
        """
        drafting: GuardedDrafter | Portfolio = portfolio or GuardedDrafter(
            drafter,
            FixedDraftLength(speculative),
            reason=reason,
            fallback_enabled=speculative.fallback_enabled,
            costs=self.costs,
        )
        seed = secrets.randbelow(2**63) if sampling.seed is None else sampling.seed
        verifier = make_verifier(speculative.verifier, seed)
        width = EQUAL_WIDTH if speculative.deterministic else 0
        held = HeldAnswer(constraint, prompt, begun) if constraint else None
        answer = _Answer(self, prompt, sampling, verifier, drafting, held=held, equal_width=width)
        answer.resume(begun)
        self._last = None
        yield Started(len(prompt), answer.reused_tokens, seed, self.clock.baseline)
        try:
            async for event in _in_turns(answer.run(), should_stop):
                yield event
        except DecodeAborted:
            pass
        finally:
            answer.settle()
        self._last = (portfolio, answer) if portfolio and answer.has_begun else None
        for event in answer.close():
            yield event

    def catch_up(self) -> Iterator[None]:
        """Have the draft read what it left out of the last answer, piece by piece, and learn.

        For when nobody waits. Raises `DecodeAborted` when stopped; another call goes on from there.
        """
        if self._last is not None:
            portfolio, answer = self._last
            yield from portfolio.catch_up(answer.tokens, answer)


async def _in_turns(
    events: Iterator[Event], should_stop: Callable[[], bool]
) -> AsyncGenerator[Event, None]:
    """Pass events on until told to stop, letting other tasks run every few milliseconds."""
    last_turn = perf_counter()
    for event in events:
        yield event
        if should_stop():
            return
        if perf_counter() - last_turn > YIELD_EVERY_S:
            await asyncio.sleep(0)
            last_turn = perf_counter()


class _Answer:
    """One answer being written; it is also the `Picker` of its drafter."""

    def __init__(
        self,
        decoder: SpeculativeDecoder,
        prompt: Sequence[int],
        sampling: SamplingParams,
        verifier: Verifier,
        drafter: GuardedDrafter | Portfolio,
        *,
        held: HeldAnswer | None = None,
        equal_width: int = 0,
    ) -> None:
        """With an `equal_width` every pass has it, and nothing is reused of passes that had not."""
        self._target = decoder.target
        self._equal_width = equal_width
        self._vocabulary = decoder.vocabulary
        self.is_end = decoder.vocabulary.is_end
        self._clock = decoder.clock
        check_prompt(prompt, self._target, equal_width)
        if equal_width:
            self._target.rollback(0)
        self.tokens = list(prompt)
        self.reused_tokens = common_prefix(self._target.cached, prompt[:-1])
        self._prompt_tokens = len(prompt)
        self._limit = min(self._target.n_ctx - equal_width, len(prompt) + sampling.max_tokens)
        self._held = held
        self._sampler = Sampler(sampling, held)
        self._is_greedy = sampling.is_greedy or sampling.top_k == 1
        self._verifier = verifier
        self.may_withdraw = isinstance(verifier, CoupledVerifier)
        self._drafter = drafter
        self._text = TextStream(sampling.stop)
        self._monitor = PerformanceMonitor(
            prompt_tokens=len(prompt), reused_tokens=self.reused_tokens
        )
        self._finish: FinishReason | None = None
        self.has_begun = False
        self._pass_s, self._pass_width = 0.0, 1
        self._begin = self._decode_begin = self._end = perf_counter()

    def resume(self, begun: int) -> None:
        """Go on with the text of the last `begun` tokens, which was released before."""
        told = self.tokens[len(self.tokens) - begun :]
        self._text.resume(self._vocabulary.piece(token_id) for token_id in told)

    def run(self) -> Iterator[Event]:
        """Read the prompt, then go round by round: draft, verify, commit."""
        yield from self._read_prompt()
        mode = None
        while self._finish is None:
            begin = perf_counter()
            draft = self._fitting(self._drafter.propose(self.tokens, self._room, self))
            draft_s = perf_counter() - begin
            if self._drafter.mode != mode:
                mode = self._drafter.mode
                yield mode
            yield self._round(draft, draft_s)

    def _read_prompt(self) -> Iterator[Prefilled]:
        try:
            for done in prefill(self._target, self.tokens[:-1]):
                yield Prefilled(done, self._prompt_tokens)
        except ModelError as error:
            raise TargetError(f"the target failed on the prompt: {error}") from error
        self._drafter.begin(self.tokens)
        self._clock.begin_answer()
        self.has_begun = True
        self._decode_begin = self._end = perf_counter()
        self._monitor.prefill_s = self._decode_begin - self._begin

    @property
    def _room(self) -> int:
        """Tokens that may be drafted: one more is emitted, and one is still to be decoded."""
        widest = self._equal_width or self._target.max_batch
        return min(self._limit - len(self.tokens), widest) - 1

    def pick(
        self, logits: FloatArray, before: Sequence[int], drafted: Sequence[int]
    ) -> tuple[int, Distribution, float]:
        """Choose a token for the drafter in the way the target will."""
        distribution = self._sampler.distribution(logits, before, drafted)
        position = len(before) + len(drafted)
        token_id, margin = self._verifier.propose(distribution, position)
        if self._is_greedy:
            margin = self._sampler.lead(logits, token_id, before, drafted)
        return token_id, distribution, margin

    def look_back(self, rows: FloatArray, token_ids: Sequence[int]) -> Hindsight:
        """Judge what the drafter would have picked for the last tokens, where that can be told."""
        if self._held is not None or not self.may_withdraw:
            return ()
        judged = []
        for place, row in enumerate(rows, len(token_ids) - len(rows)):
            token_id, _, margin = self.pick(row, token_ids[:place], ())
            judged.append((margin, token_id == token_ids[place]))
        return judged

    def may_follow(self, guessed: Sequence[int]) -> bool:
        """Tell whether the answer may be gone on with these tokens, and is no end then."""
        fits = self._held is None or self._held.fitting(self.tokens, guessed) == len(guessed)
        return fits and not any(map(self.is_end, guessed))

    def _fitting(self, draft: Draft) -> Draft:
        """Leave out what was copied from where the grammar was another one, or none."""
        if self._held is None:
            return draft
        fitting = self._held.fitting(self.tokens, draft.token_ids)
        distributions = draft.distributions and draft.distributions[:fitting]
        return Draft(draft.token_ids[:fitting], distributions)

    def _round(self, draft: Draft, draft_s: float) -> Tokens:
        begin, depth, drafted = perf_counter(), len(self.tokens), len(draft.token_ids)
        accepted, emitted = self._verify(draft)
        verify_s = perf_counter() - begin
        self.tokens += [token_id for token_id, _ in emitted]
        self._target.rollback(len(self.tokens) - 1)
        name = self._drafter.mode.drafter if drafted else None
        last_end, self._end = self._end, perf_counter()
        total_s = draft_s + self._end - begin
        stats = RoundStats(name, drafted, accepted, len(emitted), draft_s, verify_s, total_s, depth)
        self._drafter.observe(self.tokens, stats, pass_s=self._pass_s, width=self._pass_width)
        return self._commit(emitted, stats, self._end - last_end)

    def _verify(self, draft: Draft) -> tuple[int, Emitted]:
        """Return how many drafted tokens are kept, and all tokens of this round."""
        batch = [self.tokens[-1], *draft.token_ids]
        known: list[Distribution] = []

        def target_at(index: int) -> Distribution:
            for row in range(len(known), index + 1):
                drafted = draft.token_ids[:row]
                known.append(self._sampler.distribution(rows[row], self.tokens, drafted))
            return known[index]

        try:
            begin = perf_counter()
            width = self._equal_width or self._drafter.width(len(batch), self._target.max_batch)
            rows = self._target.decode(batch, rows=len(batch), width=width)
            self._pass_width, self._pass_s = width, perf_counter() - begin
            result = self._verifier.verify(draft, target_at, len(self.tokens))
        except ModelError as error:
            raise TargetError(f"the target failed: {error}") from error
        emitted: Emitted = [(kept, "accepted") for kept in draft.token_ids[: result.accepted]]
        emitted.append((result.next_token, result.source))
        for index, (token_id, _) in enumerate(emitted):
            if self.is_end(token_id):
                self._finish = "stop"
                return result.accepted, emitted[: index + 1]
        return result.accepted, emitted

    def _commit(self, emitted: Emitted, stats: RoundStats, since_last_s: float) -> Tokens:
        """Account for a round and release its text."""
        # To be compared with whole answers: what came of the round before took its time, too.
        seconds = since_last_s - stats.draft_s
        self._clock.note_round(seconds, is_plain=stats.is_plain(self._pass_s, self._pass_width))
        self._monitor.add(stats)
        if self._monitor.rounds == 1:
            self._monitor.ttft_s = self._end - self._begin
        tokens = []
        for token_id, source in emitted:
            piece = self._vocabulary.piece(token_id)
            tokens += self._text.push(token_id, piece, source, self._end - self._begin)
        if self._text.stopped:
            self._finish = "stop"
        elif self._finish is None and len(self.tokens) >= self._limit:
            self._finish = "length"
        return Tokens(tuple(tokens), (stats,), self._clock.baseline)

    def settle(self) -> None:
        """Leave in the target's cache only what was committed, however the answer ended."""
        self._target.rollback(common_prefix(self._target.cached, self.tokens[:-1]))

    def close(self) -> Iterator[Event]:
        """Release held text and sum up; an answer without an end of its own was cancelled."""
        held = self._text.finish()
        if held:
            yield Tokens(tuple(held), (), self._clock.baseline)
        self._monitor.baseline = self._clock.baseline
        stats = replace(self._monitor.result(), decode_s=self._end - self._decode_begin)
        finish, chars = self._finish or "cancelled", sum(len(token.text) for token in held)
        yield Finished(finish, stats, held_tokens=len(held), held_chars=chars)
