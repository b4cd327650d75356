"""From token bytes to shown text: whole characters only, and nothing of a stop text.

Every token pushed is released exactly once and in order; only its text may wait or be cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from encodings.utf_8 import IncrementalDecoder

from utils.events import Token, TokenSource


class TextStream:
    """Decodes pieces as UTF-8 and ends at the stop text that is complete first.

    Where several are complete at the same character, the longest counts. Malformed bytes become
    U+FFFD. The result does not depend on where tokens begin and end.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self._stop = tuple(text for text in stop if text)
        self._decoder = IncrementalDecoder(errors="replace")
        self._held: list[Token] = []
        self._pending = ""

    def resume(self, pieces: Iterable[bytes]) -> None:
        """Go on after tokens that were released before, the last of them in mid-character maybe."""
        for piece in pieces:
            self._decoder.decode(piece)

    def push(self, token_id: int, piece: bytes, source: TokenSource, time_s: float) -> list[Token]:
        """Take in a token and return those whose text is settled."""
        if self.stopped:
            return [Token(token_id, "", source, time_s)]
        # Most pieces need no decoder, which takes longer than all else here.
        is_plain = piece.isascii() and not self._decoder.buffer
        text = piece.decode("ascii") if is_plain else self._decoder.decode(piece)
        token = Token(token_id, text, source, time_s)
        if not (self._stop or self._held or self._decoder.buffer):
            return [token]
        self._take(token)
        if self._cut():
            return self._release(len(self._held))
        return self._release(self._settled())

    def finish(self) -> list[Token]:
        """Return the tokens still held, the end of a broken character included."""
        rest = "" if self.stopped else self._decoder.decode(b"", final=True)
        if rest and self._held:
            last = self._held.pop()
            self._pending = self._pending[: len(self._pending) - len(last.text)]
            self._take(replace(last, text=last.text + rest))
            self._cut()
        return self._release(len(self._held))

    def _take(self, token: Token) -> None:
        self._held.append(token)
        self._pending += token.text

    def _cut(self) -> bool:
        """Look for a stop text in what is held, and cut it and all after it."""
        found = [
            (start + len(text), start)
            for text in self._stop
            if (start := self._pending.find(text)) >= 0
        ]
        if not found:
            return False
        _, end = min(found)
        self.stopped = True
        for index, token in enumerate(self._held):
            self._held[index] = replace(token, text=token.text[: max(0, end)])
            end -= len(token.text)
        return True

    def _settled(self) -> int:
        """Count the held tokens that no stop text and no broken character can change."""
        safe = len(self._pending) - self._begun_length()
        count, length = 0, 0
        for token in self._held:
            length += len(token.text)
            if length > safe:
                break
            count += 1
        return min(count, len(self._held) - 1) if self._decoder.buffer else count

    def _begun_length(self) -> int:
        """Length of the longest end of the held text that may begin a stop text."""
        longest = 0
        for text in self._stop:
            for length in range(min(len(text) - 1, len(self._pending)), longest, -1):
                if self._pending.endswith(text[:length]):
                    longest = length
                    break
        return longest

    def _release(self, count: int) -> list[Token]:
        released, self._held = self._held[:count], self._held[count:]
        self._pending = "".join(token.text for token in self._held)
        return released
