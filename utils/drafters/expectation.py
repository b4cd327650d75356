"""What a round is expected to yield, in tokens a second: of a copy, of a model, or of both."""

from __future__ import annotations

from utils.drafters.record import DraftingRecord

# What a draft has yet to read, it reads for so many rounds to come, not for one.
PAYBACK_ROUNDS = 10
LEAST_SURVIVAL = 0.05


class Expectation:
    """Arithmetic over what passes and drafting cost and how often each guess is right."""

    def __init__(self, record: DraftingRecord) -> None:
        self._record = record

    def of_copy(self, count: int, match_length: int, rate_to_beat: float) -> tuple[int, float]:
        """Return how many of `count` copied tokens are best verified, and the rate expected.

        With nothing to copy, or nothing worth it, that is plain decoding.
        """
        record = self._record
        rate, pass_s, token_s = record.matches.rate, record.pass_s, record.token_s
        best, survival, tokens = 0, 1.0, 1.0
        best_rate = rate_to_beat
        for copied in range(1, count + 1):
            survival *= rate(match_length + copied - 1)
            tokens += survival
            expected = tokens / (pass_s[copied] + tokens * token_s)
            if expected > best_rate:
                best, best_rate = copied, expected
            if survival < LEAST_SURVIVAL:
                break
        return best, best_rate if best else min(rate_to_beat, record.plain_rate)

    def of_model(self, most: int, lag: int, *, copied: int = 0, match_length: int = 0) -> float:
        """Return the rate expected of up to `most` tokens of a model, after those copied.

        The model has yet to read `lag` tokens of the text, and those copied.
        """
        record = self._record
        rate, pass_s, token_s = record.margins.expected, record.pass_s, record.token_s
        step_s = record.draft_cost.token_s
        unread = record.catch_up_share(lag) / PAYBACK_ROUNDS
        best, survival, tokens = 0.0, 1.0, 1.0
        if copied:
            # These the model reads for this round alone; two tokens cost as much as one.
            unread += record.catch_up_share(copied + 2)
            for place in range(copied):
                survival *= record.matches.rate(match_length + place)
                tokens += survival
        draft_s = record.draft_cost.seconds(unread)
        for count in range(copied + 1, copied + most + 1):
            survival *= rate
            tokens += survival
            draft_s += step_s
            expected = tokens / (pass_s[count] + tokens * token_s + draft_s)
            if expected > best:
                best = expected
        return best
