"""Which drafter drafts how much, round by round, so that tokens come fastest.

A round is worth its expected tokens less what its time is worth elsewhere: `rate` tokens a second,
what the newest rounds reached. Drafting one token more pays while it is expected to add more than
its time costs (optimal stopping of a renewal process; the costs as in SmartSpec, arXiv 2406.14066).
Nothing drafted is one of the choices, and the lookup is judged by what was emitted even in rounds
that do not use it (full information, as in arXiv 2510.20064).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from utils.drafters.lookup import LookupDrafter
from utils.drafters.protocol import Picker, SteeredDrafter
from utils.drafters.record import SHORT_PASS_S, DraftingRecord
from utils.errors import DraftError
from utils.events import Mode
from utils.model_session import DecodeAborted, common_prefix
from utils.performance_monitor import RoundStats
from utils.sampling import Distribution
from utils.token_validator import Draft

LEAST_GAIN = 1.05
PATIENT_LAG_TOKENS = 16
QUIET_TOKENS = 24
PAYBACK_ROUNDS = 10
# A look at what could be drafted takes some 30 us, which shows where passes are short.
RESTED_ROUNDS = 4
LEAST_SURVIVAL = 0.05
T = TypeVar("T")


class Portfolio:
    """The drafters of one answer: a model, a lookup, or both."""

    def __init__(
        self,
        model: SteeredDrafter | None,
        lookup: LookupDrafter | None,
        record: DraftingRecord,
        *,
        max_draft_tokens: int,
        fallback_enabled: bool = True,
        problem: str = "",
        note: str = "",
    ) -> None:
        """`record` is what earlier answers taught, and learns from this one.

        `problem` says why another draft than these was not to be had, `note` what to know of the
        model.
        """
        self._model = model
        self._lookup = lookup
        self._record = record
        self._cap = min(max_draft_tokens, record.costs.max_width - 1)
        self._fallback_enabled = fallback_enabled
        self._prompt_tokens = 0
        self._copied: list[int] = []
        self._match_length = 0
        # What each token was judged by: the margin of the model's, the length of a match of others.
        self._features: list[float] = []
        self._drafted = 0
        self._lagged = self._was_asked = self._is_warm = self._probes = False
        self._quiet_tokens = self._rested = 0
        self._problem = problem
        self._note = note
        self.mode = self._speculative()

    def begin(self, token_ids: Sequence[int]) -> None:
        """Prepare for an answer to this prompt."""
        self._prompt_tokens = len(token_ids)
        self._record.begin_answer()
        if self._lookup is not None:
            self._lookup.begin(token_ids)
        self._guard(lambda model: model.begin(token_ids))

    def width(self, count: int, limit: int) -> int:
        """Return how wide a pass over `count` tokens is best made, up to `limit`."""
        return self._record.costs.padded_width(count, min(limit, self._cap + 1))

    def propose(self, token_ids: Sequence[int], room: int, picker: Picker) -> Draft:
        """Return the draft that is expected to pay best; it may be empty."""
        cap = min(self._cap, room)
        self._features.clear()
        self._is_warm = self._drafted > 0
        self._copied, self._drafted = [], 0
        self._probes = False
        if cap < 1 or self._record.wants_plain_rounds or self._rests():
            return Draft()
        if self._lookup is not None:
            self._lookup.observe(token_ids)
            self._match_length = self._lookup.match_length
            # A short match is seldom right for long.
            self._copied = self._lookup.copy(min(cap, 2 + 2 * self._match_length), picker)
        length, copy_rate = self._rate_of_copy(cap)
        model_rate = self._rate_of_model(token_ids, cap)
        if model_rate > copy_rate:
            return self._draft(token_ids, cap, picker, model_rate)
        if length:
            self._features += range(self._match_length, self._match_length + length)
            return Draft(tuple(self._copied[:length]))
        lag = self._lag(token_ids)
        if self._model and not self._must_wait(token_ids, lag) and self._record.may_probe(lag):
            self._probes = True
            return self._draft(token_ids, cap, picker, copy_rate)
        return Draft()

    def observe(
        self, token_ids: Sequence[int], stats: RoundStats, *, pass_s: float, width: int
    ) -> None:
        """Learn from a round: what was emitted, what was kept, and what a pass so wide took."""
        record = self._record
        record.note_round(stats, pass_s, width, was_probe=self._probes)
        self._learn_kept(stats.accepted)
        if self._copied and (self._drafted or not self._features):
            self._learn_in_shadow(token_ids[len(token_ids) - stats.emitted :])
        if self._was_asked:
            self._was_asked = False
            if self._drafted and self._is_warm and not self._lagged:
                record.note_draft(self._drafted, stats.draft_s)
            self._guard(lambda model: model.observe(token_ids))
        self._note_mode(stats)

    def catch_up(self, token_ids: Sequence[int], picker: Picker) -> Iterator[None]:
        """Have the model read what it has left out, piece by piece, and learn from it.

        For when an answer has ended and nobody waits: what it costs then, it costs no answer.
        """
        pieces = self._guard(lambda model: model.catch_up(token_ids, picker)) or iter(())
        while (judged := self._guard(lambda _model: next(pieces, None))) is not None:
            self._record.margins.learn(judged)
            yield

    def _rate_of_copy(self, cap: int) -> tuple[int, float]:
        """Return how much of the copy is best verified, and the tokens a second expected of it.

        With nothing to copy, or nothing worth it, that is plain decoding.
        """
        record, length = self._record, self._match_length
        rate, pass_s, token_s = record.matches.rate, record.pass_s, record.token_s
        best, survival, tokens = 0, 1.0, 1.0
        best_rate = threshold = self._rate_to_beat()
        for count in range(1, min(cap, len(self._copied)) + 1):
            survival *= rate(length + count - 1)
            tokens += survival
            expected = tokens / (pass_s[count] + tokens * token_s)
            if expected > best_rate:
                best, best_rate = count, expected
            if survival < LEAST_SURVIVAL:
                break
        return best, best_rate if best else min(threshold, record.plain_rate)

    def _rate_of_model(self, token_ids: Sequence[int], cap: int) -> float:
        """Return the tokens a second expected of drafting with the model; 0: leave it."""
        if self._model is None:
            return 0.0
        lag = self._lag(token_ids)
        if self._must_wait(token_ids, lag):
            return 0.0
        record = self._record
        rate, pass_s, token_s = record.margins.expected, record.pass_s, record.token_s
        step_s = record.draft_cost.token_s
        # What the draft has yet to read, it reads for all rounds to come, not for this one.
        draft_s = record.draft_cost.seconds(record.catch_up_share(lag) / PAYBACK_ROUNDS)
        best, survival, tokens = 0.0, 1.0, 1.0
        for count in range(1, cap + 1):
            survival *= rate
            tokens += survival
            draft_s += step_s
            expected = tokens / (pass_s[count] + tokens * token_s + draft_s)
            if expected > best:
                best = expected
        return best if best > self._rate_to_beat() else 0.0

    def _rate_to_beat(self) -> float:
        """Return the plain rate; it is left only for a clearly better one."""
        return self._record.plain_rate * (LEAST_GAIN if self.mode_is_standard else 1.0)

    @property
    def mode_is_standard(self) -> bool:
        """True while drafting is left off because it does not pay."""
        return self.mode.mode == "standard"

    def _must_wait(self, token_ids: Sequence[int], lag: int) -> bool:
        """Let the first token out before the draft reads a long prompt."""
        return lag > PATIENT_LAG_TOKENS and len(token_ids) == self._prompt_tokens

    def _rests(self) -> bool:
        """Tell whether to look no further in this round: drafting is off, and passes are short."""
        is_short = self._record.pass_s[0] <= SHORT_PASS_S
        if not self.mode_is_standard or not is_short or self._record.follows_up:
            return False
        self._rested = (self._rested + 1) % RESTED_ROUNDS
        return self._rested > 0

    def _draft(
        self, token_ids: Sequence[int], cap: int, picker: Picker, expected_rate: float
    ) -> Draft:
        """Have the model draft while another token pays, and the lookup go on from there."""
        record = self._record
        rate, expected = record.margins.rate, record.margins.expected
        # What a second is worth in tokens: what is usual, but no more than can be had now.
        worth_of_second = min(record.rate, expected_rate)
        worth = [worth_of_second * seconds for seconds in record.pass_s[: cap + 1]]
        step = worth_of_second * record.draft_cost.token_s
        # A token that is kept has still to be sampled and told.
        net = 1 - worth_of_second * record.token_s
        self._lagged = self._lag(token_ids) > 2
        survival, gains = 1.0, [0.0]
        features = self._features

        def wants_more(margin: float) -> bool:
            nonlocal survival
            features.append(margin)
            survival *= rate(margin)
            gains.append(gains[-1] + net * survival)
            count, ahead, gain = len(features), survival, 0.0
            base = worth[count] if count <= cap else 0.0
            for more in range(count + 1, cap + 1):
                ahead *= expected
                gain += net * ahead
                if gain > worth[more] - base + step * (more - count):
                    return True
            return False

        self._was_asked = True
        draft = self._guard(lambda model: model.propose(token_ids, cap, picker, wants_more))
        record.margins.learn(self._model.hindsight if self._model else ())
        if draft is None or not draft.token_ids:
            features.clear()
            if draft is not None:
                # Nothing came of it: as bad as a wrong guess, or it would be tried for ever.
                record.margins.learn([(0.0, False)])
            return Draft()
        drafted = list(draft.token_ids)
        self._drafted = len(drafted)
        if self._lookup is not None and len(drafted) < cap and not picker.is_end(drafted[-1]):
            copied, match = self._lookup.copy_after(drafted, cap - len(drafted), picker)
            for offset in range(len(copied)):
                survival *= record.matches.rate(match + offset)
                gains.append(gains[-1] + net * survival)
                features.append(match + offset)
            drafted += copied
        worths = [gains[count] - worth[count] for count in range(len(drafted) + 1)]
        best = worths.index(max(worths))
        if self._probes:
            best = max(best, len(draft.token_ids))
        del features[best:]
        copies = map(Distribution.certain, drafted[len(draft.token_ids) :])
        distributions = (*(draft.distributions or ()), *copies)
        return Draft(tuple(drafted[:best]), distributions[:best])

    def _learn_kept(self, accepted: int) -> None:
        features = self._features[: accepted + 1]
        judged = [(feature, index < accepted) for index, feature in enumerate(features)]
        self._record.margins.learn(judged[: self._drafted])
        self._record.matches.learn(judged[self._drafted :])

    def _learn_in_shadow(self, emitted: Sequence[int]) -> None:
        right = common_prefix(self._copied, emitted)
        judged = min(right + 1, len(self._copied), len(emitted))
        length = self._match_length
        self._record.matches.learn([(length + n, n < right) for n in range(judged)])

    def _lag(self, token_ids: Sequence[int]) -> int:
        return self._model.lag(token_ids) if self._model is not None else 0

    def _note_mode(self, stats: RoundStats) -> None:
        """Say standard after a while without drafts, and speculative once one is made."""
        if stats.drafted and not self._probes:
            self._quiet_tokens = 0
            if self.mode_is_standard:
                self.mode = self._speculative()
            return
        self._quiet_tokens += stats.emitted
        if self._quiet_tokens >= QUIET_TOKENS and not self.mode_is_standard:
            verdict = self._record.verdict(has_model=self._model is not None)
            reason = "; ".join(filter(None, (self._problem, verdict)))
            self.mode = Mode("standard", self.mode.drafter, reason)

    def _speculative(self) -> Mode:
        names = [drafter.name for drafter in (self._model, self._lookup) if drafter is not None]
        if not names:
            return Mode("standard", None, self._problem or "no draft was chosen")
        note = f"drafted by {names[0]}: {self._note}" if self._note and self._model else ""
        return Mode("speculative", names[0], self._problem or note)

    def _guard(self, action: Callable[[SteeredDrafter], T]) -> T | None:
        if self._model is None:
            return None
        try:
            return action(self._model)
        except DecodeAborted:
            raise
        except Exception as error:  # whatever ails a drafter, the answer goes on
            name = self._model.name
            self._problem = f"draft {name} failed: {str(error) or type(error).__name__}"
            if not self._fallback_enabled:
                raise DraftError(self._problem) from error
            self._model = None
            self.mode = self._speculative()
            return None
