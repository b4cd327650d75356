"""A grammar as rules over bytes: what every notation becomes, and what may not be in it.

The text of a grammar is what its rule `root` stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

from utils.errors import RequestError

MAX_ITEMS = 100_000


@dataclass(frozen=True, slots=True)
class Byte:
    """One byte of a range, both ends included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Ref:
    """Whatever a rule stands for."""

    rule: int


Item = Byte | Ref
Items = tuple[Item, ...]


class Rules:
    """Rules by number, each a choice of sequences; `names` are for error messages."""

    def __init__(self) -> None:
        self.root = 0
        self.names: list[str] = []
        self.choices: list[list[Items] | None] = []
        self._classes: dict[tuple[tuple[int, int], ...], Ref] = {}
        self._items = 0

    def reserve(self, name: str) -> int:
        """Return the number of a rule that is defined later."""
        self.names.append(name)
        self.choices.append(None)
        return len(self.names) - 1

    def define(self, rule: int, choices: list[Items]) -> None:
        """Say what a rule stands for; raises `RequestError` when the grammar gets too large."""
        self._items += sum(len(sequence) + 1 for sequence in choices)
        if self._items > MAX_ITEMS:
            raise RequestError(
                f"the grammar is too large: more than {MAX_ITEMS} items; repeat less in it"
            )
        self.choices[rule] = choices

    def add(self, name: str, choices: list[Items]) -> Ref:
        """Define a rule and return an item that stands for it."""
        rule = self.reserve(name)
        self.define(rule, choices)
        return Ref(rule)

    def characters(self, ranges: tuple[tuple[int, int], ...]) -> Item:
        """Return an item that stands for one character of these ranges of code points."""
        if len(ranges) == 1 and ranges[0][1] < 0x80:
            return Byte(*ranges[0])
        if ranges not in self._classes:
            choices = [sequence for each in ranges for sequence in utf8_sequences(*each)]
            self._classes[ranges] = self.add("characters", choices)
        return self._classes[ranges]

    def begin_after(self, mark: bytes) -> None:
        """Let any text go before the root, up to the first `mark`, and white space after it."""
        blanks = self.reserve("blanks")
        self.define(blanks, [(Byte(each, each), Ref(blanks)) for each in b" \t\r\n"])
        self.define(blanks, [*(self.choices[blanks] or []), (Ref(self.root),)])
        found = [*(self.reserve("before the mark") for _ in mark), blanks]
        for length, rule in enumerate(found[:-1]):
            choices: list[Items] = []
            for byte in range(256):
                text = mark[:length] + bytes([byte])
                known = max(n for n in range(length + 2) if text.endswith(mark[:n]))
                choices.append((Byte(byte, byte), Ref(found[known])))
            self.define(rule, choices)
        self.root = found[0]

    def check(self) -> None:
        """Raise `RequestError` for a rule that is not defined or begins with itself."""
        for name, choices in zip(self.names, self.choices, strict=True):
            if choices is None:
                raise RequestError(f"the grammar has no rule {name!r}: define it")
        looped = _left_recursive(self.choices)
        if looped is not None:
            raise RequestError(
                f"the grammar is left-recursive: rule {self.names[looped]!r} begins with itself; "
                "put something in front, or use * or +"
            )


def utf8_sequences(low: int, high: int) -> list[Items]:
    """Return the byte sequences of the characters from `low` to `high`, surrogates left out."""
    found: list[Items] = []
    for first, last in ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF)):
        found += _split(max(low, first), min(high, last))
    return found + _split(max(low, 0x10000), min(high, 0x10FFFF))


def _split(low: int, high: int) -> list[Items]:
    """Cut a range of equally long characters until each byte varies by itself."""
    if low > high:
        return []
    for shift in range(6, 6 * len(chr(low).encode()), 6):
        rest = (1 << shift) - 1
        if low & ~rest != high & ~rest:
            if low & rest:
                return _split(low, low | rest) + _split((low | rest) + 1, high)
            if high & rest != rest:
                return _split(low, (high & ~rest) - 1) + _split(high & ~rest, high)
    return [tuple(map(Byte, chr(low).encode(), chr(high).encode()))]


def _left_recursive(choices: list[list[Items] | None]) -> int | None:
    """Return a rule that can come to itself again without a byte in between."""
    empty = _nullable(choices)
    begins: list[set[int]] = []
    for sequences in choices:
        reached = set()
        for sequence in sequences or ():
            for item in sequence:
                if isinstance(item, Byte):
                    break
                reached.add(item.rule)
                if item.rule not in empty:
                    break
        begins.append(reached)
    # Take away, again and again, what begins with nothing that is left.
    waiting = [len(reached) for reached in begins]
    users: list[list[int]] = [[] for _ in begins]
    for rule, reached in enumerate(begins):
        for other in reached:
            users[other].append(rule)
    done = [rule for rule, count in enumerate(waiting) if count == 0]
    for rule in done:
        for user in users[rule]:
            waiting[user] -= 1
            if waiting[user] == 0:
                done.append(user)
    left = set(range(len(begins))) - set(done)
    return min(left) if left else None


def _nullable(choices: list[list[Items] | None]) -> set[int]:
    """Return the rules that can stand for nothing."""
    needs: list[list[int]] = []
    owners: list[int] = []
    users: dict[int, list[int]] = {}
    for rule, sequences in enumerate(choices):
        for sequence in sequences or ():
            if all(isinstance(item, Ref) for item in sequence):
                parts = [item.rule for item in sequence if isinstance(item, Ref)]
                for part in parts:
                    users.setdefault(part, []).append(len(needs))
                needs.append(parts)
                owners.append(rule)
    missing = [len(parts) for parts in needs]
    done = list(dict.fromkeys(owners[n] for n, count in enumerate(missing) if count == 0))
    empty = set(done)
    for rule in done:
        for number in users.get(rule, ()):
            missing[number] -= 1
            if missing[number] == 0 and owners[number] not in empty:
                empty.add(owners[number])
                done.append(owners[number])
    return empty
