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

from utils.drafters.expectation import Expectation
from utils.drafters.lookup import LookupDrafter
from utils.drafters.prospect import Prospect
from utils.drafters.protocol import Picker, PickerAhead, SteeredDrafter
from utils.drafters.record import SHORT_PASS_S, DraftingRecord
from utils.errors import DraftError, DraftFullError
from utils.events import Mode
from utils.model_session import DecodeAborted, common_prefix
from utils.performance_monitor import RoundStats
from utils.sampling import Distribution
from utils.token_validator import Draft

LEAST_GAIN = 1.05
PATIENT_LAG_TOKENS = 16
QUIET_TOKENS = 24
# A look at what could be drafted takes some 30 us, which shows where passes are short.
RESTED_ROUNDS = 4
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
        self._expected = Expectation(record)
        self._cap = min(max_draft_tokens, record.costs.max_width - 1)
        self._fallback_enabled = fallback_enabled
        self._prompt_tokens = 0
        self._copied: list[int] = []
        self._match_length = 0
        # What each token was judged by: the margin of the model's, the length of a match of others.
        self._features: list[float] = []
        # How many of the tokens were copied, before those that the model drafted.
        self._head = self._drafted = 0
        # The first token that the model drafted and nobody verified, and its margin.
        self._withdrawn: tuple[int, float] | None = None
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
        self._copied, self._head, self._drafted, self._withdrawn = [], 0, 0, None
        self._probes = False
        if cap < 1 or self._record.wants_plain_rounds or self._rests():
            return Draft()
        if self._lookup is not None:
            self._lookup.observe(token_ids)
            self._match_length = self._lookup.match_length
            # A short match is seldom right for long.
            self._copied = self._lookup.copy(min(cap, 2 + 2 * self._match_length), picker)
        to_beat, most = self._rate_to_beat(), min(cap, len(self._copied))
        length, copy_rate = self._expected.of_copy(most, self._match_length, to_beat)
        lag = self._model_lag(token_ids)
        self._head, rate = self._rate_of_model(cap, lag, self._copied[:length], picker)
        if rate > max(to_beat, copy_rate):
            return self._draft(token_ids, cap, picker, rate)
        self._head = length
        if length:
            self._features += range(self._match_length, self._match_length + length)
            return Draft(tuple(self._copied[:length]))
        if lag is not None and self._record.may_probe(lag):
            self._probes = True
            return self._draft(token_ids, cap, picker, copy_rate)
        return Draft()

    def observe(
        self, token_ids: Sequence[int], stats: RoundStats, *, pass_s: float, width: int
    ) -> None:
        """Learn from a round: what was emitted, what was kept, and what a pass so wide took."""
        record = self._record
        record.note_round(stats, pass_s, width, was_probe=self._probes)
        emitted = token_ids[len(token_ids) - stats.emitted :]
        self._learn_kept(stats.accepted, emitted)
        if self._copied and not (self._head and self._features):
            self._learn_in_shadow(emitted)
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

    def _rate_of_model(
        self, cap: int, lag: int | None, copied: Sequence[int], picker: Picker
    ) -> tuple[int, float]:
        """Return after how many copied tokens, none or all, the model best begins, and the rate."""
        if self._model is None or lag is None:
            return 0, 0.0
        alone, length = self._expected.of_model(cap, lag), len(copied)
        if not length or not self._model.reads_guesses:
            return 0, alone
        match = self._match_length
        both = self._expected.of_model(cap - length, lag, copied=length, match_length=match)
        return (length, both) if both > alone and picker.may_follow(copied) else (0, alone)

    def _model_lag(self, token_ids: Sequence[int]) -> int | None:
        """Return how many tokens the model has yet to read; None: leave it in this round."""
        lag = self._lag(token_ids)
        return None if self._model is None or self._must_wait(token_ids, lag) else lag

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
        """Have the model draft while another token pays, and the lookup go on from there.

        The model goes on from the copy where the draft is head with one.
        """
        record, features, head = self._record, self._features, self._copied[: self._head]
        rate, expected = record.margins.rate, record.margins.expected
        is_free = picker.may_withdraw and not self._probes
        prospect = Prospect(
            record.pass_s[: cap + 1],
            # What is usual, but no more than can be had now.
            worth_of_second=min(record.rate, expected_rate),
            token_s=record.token_s,
            draft_token_s=record.draft_cost.token_s,
            may_shrink=is_free,
        )
        self._expect_copied(prospect, len(head), self._match_length)

        def wants_more(margin: float) -> bool:
            prospect.add(rate(margin, len(features)))
            features.append(margin)
            return prospect.grows(expected)

        self._lagged = self._head > 0 or self._lag(token_ids) > 2
        self._was_asked = True
        text, most = [*token_ids, *head] if head else token_ids, cap - len(head)
        ahead = PickerAhead(picker, token_ids, head) if head else picker

        def propose(model: SteeredDrafter) -> Draft:
            try:
                return model.propose(text, most, ahead, wants_more)
            except DraftFullError:
                if not head:
                    raise
                # There may be room without the copy.
                return Draft()

        draft = self._guard(propose)
        record.margins.learn(self._model.hindsight if self._model else ())
        if draft is None or not draft.token_ids:
            del features[len(head) :]
            if draft is not None and not head:
                # Nothing came of it: as bad as a wrong guess, or it would be tried for ever.
                record.margins.learn([(0.0, False)])
            return Draft(tuple(head))
        self._drafted = len(draft.token_ids)
        drafted = [*head, *draft.token_ids]
        drawn = len(drafted)
        if self._lookup is not None and drawn < cap and not picker.is_end(drafted[-1]):
            copied, match = self._lookup.copy_after(drafted, cap - drawn, picker)
            self._expect_copied(prospect, len(copied), match)
            drafted += copied
        length = prospect.best_length(0 if is_free else drawn, len(drafted))
        if len(head) <= length < drawn:
            self._withdrawn = drafted[length], features[length]
        del features[length:]
        before, after = map(Distribution.certain, head), map(Distribution.certain, drafted[drawn:])
        distributions = (*before, *(draft.distributions or ()), *after)
        return Draft(tuple(drafted[:length]), distributions[:length])

    def _expect_copied(self, prospect: Prospect, count: int, match_length: int) -> None:
        """Take so many copied tokens into what a draft is worth."""
        for length in range(match_length, match_length + count):
            self._features.append(length)
            prospect.add(self._record.matches.rate(length))

    def _learn_kept(self, accepted: int, emitted: Sequence[int]) -> None:
        """Learn of the tokens that were judged, and of one more that the target chose itself."""
        verified, features = len(self._features), self._features[: accepted + 1]
        judged = [(feature, index < accepted) for index, feature in enumerate(features)]
        head, drawn = self._head, self._head + self._drafted
        self._record.matches.learn(judged[:head] + judged[drawn:])
        self._record.margins.learn(judged[head:drawn], first=head)
        if self._withdrawn is not None and accepted == verified < len(emitted):
            token_id, margin = self._withdrawn
            self._record.margins.learn([(margin, token_id == emitted[verified])], first=verified)

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
        except DraftFullError as error:
            self._give_up(str(error))
        except Exception as error:  # whatever ails a drafter, the answer goes on
            name = self._model.name
            problem = f"draft {name} failed: {str(error) or type(error).__name__}"
            if not self._fallback_enabled:
                raise DraftError(problem) from error
            self._give_up(problem)
        return None

    def _give_up(self, problem: str) -> None:
        self._model, self._problem = None, problem
        self.mode = self._speculative()
