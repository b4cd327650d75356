"""What drafting for one target has taught so far: what it costs, and what comes of it."""

from __future__ import annotations

from utils.acceptance import of_margins, of_matches
from utils.cost_table import CostTable
from utils.drafters.draft_cost import DraftCost
from utils.performance_monitor import RoundStats, ratio

RATE_SHARE = 0.02
REFRESH_ROUNDS = 16
COST_SHARE = 0.1
PROBE_BUDGET = 0.02
RETRY_TOKENS, FIRST_PROBE_TOKENS, LAST_PROBE_TOKENS = 4, 16, 512
CATCH_UP_SHARE = 0.25
TOLD_TOKENS = 3
MOST_FOR_A_DRAFT = 0.4
# Plain decoding is timed again after so many tokens, which takes some 1% of the time. The first of
# its rounds finds what a draft left in the processor's caches.
PLAIN_ROUNDS, PLAIN_TOKENS = 4, 384
# What the processor's caches do to short passes shows only amid other work, not while calibrating:
# the first answers are to tell soon. Not in their beginnings, while a page is drawn anew.
FIRST_PLAIN_TOKENS, PLAIN_NOTES, SHORT_PASS_S = 32, 12, 0.003
# As if so much had been written before: what may be spent on the first looks.
CREDIT_TOKENS = 400


class DraftingRecord:
    """Costs and acceptance, kept over many answers; times are at the pace of the cost table."""

    def __init__(self, costs: CostTable, *, draft_token_s: float | None = None) -> None:
        """`draft_token_s` is what a drafted token costs, as far as known."""
        self.costs = costs
        self.margins = of_margins()
        self.matches = of_matches()
        # Begins with hope: what is thought too dear is never tried, and nothing is learnt of it.
        known_s = 0.2 * costs.seconds(1) if draft_token_s is None else draft_token_s
        self.draft_cost = DraftCost(min(known_s, MOST_FOR_A_DRAFT * costs.seconds(1)))
        self.token_s = 0.0
        self._tokens = self._seconds = 0.0
        self._probe_gap = FIRST_PROBE_TOKENS
        self._since_probe = 0
        self._was_plain = False
        # Whether the round before was a look that calls for another one.
        self.follows_up = False
        self._plain_rounds = self._since_plain = 0
        self._elapsed_s, self._probe_loss_s = CREDIT_TOKENS * costs.seconds(1), 0.0
        self._pass_s: list[float] = []
        self._depth, self._age = -1, 0

    def begin_answer(self) -> None:
        """Look again soon: another question is another text."""
        self._probe_gap = min(self._probe_gap, FIRST_PROBE_TOKENS)
        self.follows_up = False
        self.margins.begin_answer()

    @property
    def plain_rate(self) -> float:
        """Tokens a second without drafts."""
        return 1 / (self.costs.plain_s + self.token_s)

    @property
    def rate(self) -> float:
        """Tokens a second of the newest rounds; plain decoding is always within reach."""
        return max(self.plain_rate, ratio(self._tokens, self._seconds))

    @property
    def pass_s(self) -> list[float]:
        """Seconds of a pass with 0, 1, 2... drafted tokens.

        What every emitted token costs beyond it, to be sampled and told, is `token_s`.
        """
        if self._depth != self.costs.depth or self._age >= REFRESH_ROUNDS:
            costs, most = self.costs, self.costs.max_width
            self._depth, self._age = costs.depth, 0
            self._pass_s = [
                costs.seconds(costs.padded_width(width, most)) for width in range(1, most + 1)
            ]
        return self._pass_s

    @property
    def wants_plain_rounds(self) -> bool:
        """Tell whether it is long ago that plain rounds were timed."""
        is_new = self.costs.plain_notes < PLAIN_NOTES and self.pass_s[0] <= SHORT_PASS_S
        return self._since_plain >= (FIRST_PLAIN_TOKENS if is_new else PLAIN_TOKENS)

    def catch_up_share(self, lag: int) -> float:
        """Return what reading `lag` tokens costs the draft, in drafted tokens."""
        return CATCH_UP_SHARE * max(0, lag - 2)

    def may_probe(self, lag: int) -> bool:
        """Tell whether it is time to see if drafting pays by now, within 2% of all time."""
        if self._since_probe < self._probe_gap and not self.follows_up:
            return False
        likely_loss_s = self.draft_cost.seconds(3 + self.catch_up_share(lag))
        return self._probe_loss_s + likely_loss_s <= PROBE_BUDGET * self._elapsed_s

    def note_round(self, stats: RoundStats, pass_s: float, width: int, *, was_probe: bool) -> None:
        """Learn from the times of a round."""
        costs = self.costs
        is_plain = stats.is_plain(pass_s, width)
        costs.note(width, pass_s, is_plain=is_plain and self._was_plain)
        self._was_plain = is_plain
        self._note_row(stats)
        costs.move_to(stats.depth)
        total_s = stats.total_s / costs.pace
        beyond_s = max(0.0, stats.total_s - stats.draft_s - pass_s)
        token_s = min(beyond_s / (stats.emitted * costs.pace), costs.seconds(1))
        self.token_s += COST_SHARE * (token_s - self.token_s)
        self._tokens += RATE_SHARE * (stats.emitted - self._tokens)
        self._seconds += RATE_SHARE * (total_s - self._seconds)
        self._elapsed_s += total_s
        self._age += 1
        self._since_probe += stats.emitted
        if was_probe:
            self._note_probe(stats, total_s)
        else:
            self.follows_up = False

    def note_draft(self, count: int, draft_s: float) -> None:
        """Learn what drafting `count` tokens took."""
        self.draft_cost.note(count, draft_s / self.costs.pace)

    def verdict(self, *, has_model: bool) -> str:
        """Say why nothing is drafted, by a model and lookup or by lookup alone."""
        if not has_model:
            return "the text repeats nothing that could be looked up"
        count = min(TOLD_TOKENS, len(self.pass_s) - 1)
        cost = (self.pass_s[count] + self.draft_cost.seconds(count)) * self.plain_rate
        share = self.margins.expected
        return (
            f"drafting would not be faster here: to draft and check {count} tokens takes as long "
            f"as {cost:.1f} plain steps, and {share:.0%} of them are expected to be right"
        )

    def _note_row(self, stats: RoundStats) -> None:
        self._plain_rounds = 0 if stats.drafted else self._plain_rounds + 1
        self._since_plain += stats.emitted
        if self._plain_rounds >= PLAIN_ROUNDS:
            self._since_plain = 0

    def _note_probe(self, stats: RoundStats, total_s: float) -> None:
        loss_s = total_s - stats.emitted / self.plain_rate
        self._probe_loss_s += max(0.0, loss_s)
        self._since_probe = 0
        is_cold, pays = not self.follows_up, stats.drafted > 0 and loss_s < 0
        # The first draft after a pause finds nothing in the processor's caches: the next one tells.
        self.follows_up = stats.drafted > 0 and (is_cold or pays)
        if pays:
            # What paid once may go on to pay: the next round tells.
            self._probe_gap = 0
        elif not self.follows_up:
            self._probe_gap = min(max(RETRY_TOKENS, 2 * self._probe_gap), LAST_PROBE_TOKENS)
