"""Answers that were kept, put together by the model that wrote them and what drafted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from utils.chat.answer_history import AnswerFigures
from utils.performance_monitor import ratio


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    """Answers of one model with one drafter, newest first; rates are 0 where nobody knows them.

    Speeds and times are medians of answers, shares are of all their tokens.
    """

    model: str
    drafter: str
    backend: str
    answers: tuple[AnswerFigures, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from other groups."""
        return self.model, self.drafter, self.backend

    @property
    def numbered(self) -> list[tuple[int, AnswerFigures]]:
        """The answers, newest first, with their numbers: the oldest is the first."""
        return list(zip(range(len(self.answers), 0, -1), self.answers, strict=True))

    @property
    def written(self) -> tuple[AnswerFigures, ...]:
        """The answers that have at least one token."""
        return tuple(answer for answer in self.answers if answer.completion_tokens)

    @property
    def failed(self) -> int:
        """How many ended with an error."""
        return sum(bool(answer.error) for answer in self.answers)

    @property
    def tokens_per_second(self) -> float:
        """Decoding rate."""
        return self._median(speed_of)

    @property
    def speedup(self) -> float:
        """Rate over the measured plain rate."""
        return self._median(speedup_of)

    @property
    def ttft_s(self) -> float:
        """Seconds to the first token."""
        return self._median(lambda answer: answer.ttft_s)

    @property
    def acceptance_rate(self) -> float:
        """Accepted share of the drafted tokens."""
        return ratio(self._sum(_accepted), self._sum(_drafted))

    @property
    def drafted(self) -> int:
        """Tokens drafted in all."""
        return self._sum(_drafted)

    @property
    def tokens_a_round(self) -> float:
        """Tokens that one pass of the target yielded."""
        return ratio(self._sum(lambda answer: answer.completion_tokens), self._sum(_rounds))

    def _median(self, value: Callable[[AnswerFigures], float]) -> float:
        values = [known for answer in self.written if (known := value(answer)) > 0]
        return median(values) if values else 0.0

    def _sum(self, value: Callable[[AnswerFigures], int]) -> int:
        return sum(value(answer) for answer in self.written)


def group_answers(answers: Iterable[AnswerFigures]) -> list[AnswerGroup]:
    """Return the groups of answers that are newest first, the one used last first."""
    groups: dict[tuple[str, str, str], list[AnswerFigures]] = {}
    for answer in answers:
        key = answer.model, answer.drafter, answer.backend
        groups.setdefault(key, []).append(answer)
    return [AnswerGroup(*key, tuple(members)) for key, members in groups.items()]


def speed_of(answer: AnswerFigures) -> float:
    """Return the tokens per second of an answer."""
    return ratio(answer.completion_tokens, answer.decode_s)


def speedup_of(answer: AnswerFigures) -> float:
    """Return the speed of an answer over the plain speed measured with it; 0 where unknown."""
    return ratio(speed_of(answer), answer.baseline_tps)


def _accepted(answer: AnswerFigures) -> int:
    return answer.accepted


def _drafted(answer: AnswerFigures) -> int:
    return answer.drafted


def _rounds(answer: AnswerFigures) -> int:
    return answer.rounds
