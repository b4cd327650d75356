"""The drafter of one answer under guard: how much it drafts, and what happens when it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from utils.cost_table import CostTable
from utils.draft_length import FixedDraftLength
from utils.drafters.protocol import Drafter, Picker
from utils.errors import DraftError, DraftFullError
from utils.events import Mode, ModeName
from utils.model_session import DecodeAborted
from utils.performance_monitor import RoundStats
from utils.token_validator import Draft

PATIENT_LAG_TOKENS = 16
T = TypeVar("T")


class GuardedDrafter:
    """Drafts as long as it pays and works; afterwards it proposes nothing and `mode` says why."""

    def __init__(
        self,
        drafter: Drafter | None,
        draft_length: FixedDraftLength,
        *,
        reason: str = "",
        fallback_enabled: bool = True,
        costs: CostTable | None = None,
    ) -> None:
        """`reason` says why there is no drafter, if so; without fallback failures raise.

        With `costs` passes are made as wide as is cheapest.
        """
        self._costs = costs
        self._drafter = drafter
        self._draft_length = draft_length
        self._fallback_enabled = fallback_enabled
        self._prompt_tokens = 0
        self.mode = self._standard(reason or "no draft was chosen")
        if drafter is not None:
            self.mode = Mode("speculative", drafter.name, "")

    def begin(self, token_ids: Sequence[int]) -> None:
        """Prepare for an answer to this prompt."""
        self._prompt_tokens = len(token_ids)
        self._guard(lambda drafter: drafter.begin(token_ids))

    def propose(self, token_ids: Sequence[int], room: int, picker: Picker) -> Draft:
        """Return a draft of at most `room` tokens, empty where drafting is off."""
        if self._drafter is None:
            return Draft()
        decision = self._draft_length.decide()
        mode: ModeName = "standard" if decision.pause_reason else "speculative"
        self.mode = Mode(mode, self._drafter.name, decision.pause_reason)
        length = min(decision.length, room)
        if length < 1 or self._must_wait(token_ids):
            return Draft()
        return self._guard(lambda drafter: drafter.propose(token_ids, length, picker)) or Draft()

    def width(self, count: int, limit: int) -> int:
        """Return how wide a pass over `count` tokens is best made, up to `limit`."""
        # One token alone tells what plain decoding takes.
        if count == 1 or self._costs is None:
            return count
        return self._costs.padded_width(count, min(limit, self._costs.max_width))

    def observe(
        self, token_ids: Sequence[int], stats: RoundStats, *, pass_s: float, width: int
    ) -> None:
        """Learn what was committed, and how the round went."""
        self._draft_length.observe(stats)
        if self._costs is not None:
            self._costs.move_to(stats.depth)
        self._guard(lambda drafter: drafter.observe(token_ids))

    def _must_wait(self, token_ids: Sequence[int]) -> bool:
        """Let the first token out before the drafter reads a long prompt."""
        first = len(token_ids) == self._prompt_tokens
        lag = self._guard(lambda drafter: drafter.lag(token_ids)) if first else None
        return lag is not None and lag > PATIENT_LAG_TOKENS

    def _guard(self, action: Callable[[Drafter], T]) -> T | None:
        if self._drafter is None:
            return None
        try:
            return action(self._drafter)
        except DecodeAborted:
            raise
        except DraftFullError as error:
            self._give_up(str(error))
        except Exception as error:  # whatever ails a drafter, the answer goes on
            problem = f"draft {self._drafter.name} failed: {str(error) or type(error).__name__}"
            if not self._fallback_enabled:
                raise DraftError(problem) from error
            self._give_up(problem)
        return None

    def _give_up(self, reason: str) -> None:
        self._drafter = None
        self.mode = self._standard(reason)

    @staticmethod
    def _standard(reason: str) -> Mode:
        return Mode("standard", None, reason)
