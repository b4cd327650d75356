"""The tokens of a loaded model: text to ids and ids to exact bytes."""

from __future__ import annotations

import ctypes
from functools import cached_property

from utils.errors import ModelError
from utils.llama.library import native
from utils.reasoning import ALL_MARKS

_CONTROL = native.LLAMA_TOKEN_ATTR_CONTROL | native.LLAMA_TOKEN_ATTR_UNKNOWN


class LlamaVocabulary:
    """Vocabulary of one model; usable until the model is closed."""

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle
        self.size: int = native.llama_vocab_n_tokens(handle)
        self.adds_bos = bool(native.llama_vocab_get_add_bos(handle))
        self._pieces: list[bytes | None] = [None] * self.size
        self._ends = frozenset(
            token_id for token_id in range(self.size) if native.llama_vocab_is_eog(handle, token_id)
        )
        self.control_ids = frozenset(
            token_id
            for token_id in range(self.size)
            if native.llama_vocab_get_attr(handle, token_id) & _CONTROL or token_id in self._ends
        )
        self.bos = self._control(native.llama_vocab_bos(handle))
        self.eos = self._control(native.llama_vocab_eos(handle))

    def close(self) -> None:
        """Forget the native vocabulary; it is freed with its model."""
        self._handle = None

    def piece(self, token_id: int) -> bytes:
        """Return the bytes that the token adds to a text; empty for control tokens.

        Marks of a thought are text in every vocabulary, so that thought and answer can be told.
        """
        if not 0 <= token_id < self.size:
            raise ModelError(f"token id is out of range: {token_id} of {self.size}")
        piece = self._pieces[token_id]
        if piece is None:
            ends = token_id in self._ends
            piece = self._pieces[token_id] = b"" if ends else self._read_piece(token_id)
            if token_id in self.control_ids and (text := self.text(token_id)) in ALL_MARKS:
                piece = self._pieces[token_id] = text.encode()
        return piece

    def is_end(self, token_id: int) -> bool:
        """Tell whether the token ends an answer."""
        return token_id in self._ends

    def text(self, token_id: int) -> str:
        """Return the token as the vocabulary writes it, such as `Ġthe` or `<|im_end|>`."""
        if not 0 <= token_id < self.size:
            raise ModelError(f"token id is out of range: {token_id} of {self.size}")
        raw: bytes | None = native.llama_vocab_get_text(self._open(), token_id)
        return (raw or b"").decode("utf-8", "replace")

    @cached_property
    def control_texts(self) -> tuple[str, ...]:
        """Texts that stand for tokens no user may write: controls and ends of an answer."""
        texts = {self.text(token_id) for token_id in self.control_ids}
        return tuple(sorted(text for text in texts if text))

    def tokenize(self, text: str, *, parse_special: bool, add_bos: bool = False) -> list[int]:
        """Return the ids of a text; `parse_special` reads control texts as control tokens.

        `add_bos` puts the first token of the vocabulary in front, where it has one.
        """
        handle = self._open()
        data = text.encode("utf-8", "replace")
        capacity = len(data) // 2 + 8
        while True:
            buffer = (ctypes.c_int32 * capacity)()
            count = native.llama_tokenize(
                handle,
                data,
                len(data),
                buffer,
                capacity,
                False,  # noqa: FBT003 - the model's own BOS rule: `add_bos` decides
                parse_special,
            )
            if count >= 0:
                break
            if -count <= capacity:
                raise ModelError(f"text of {len(data)} bytes cannot be tokenized: too long")
            capacity = -count
        token_ids = buffer[:count]
        return [self.bos, *token_ids] if add_bos and self.bos is not None else token_ids

    def detokenize(self, token_ids: list[int]) -> bytes:
        """Return the text of the tokens, as bytes, without control tokens."""
        return b"".join(map(self.piece, token_ids))

    def _read_piece(self, token_id: int) -> bytes:
        handle, capacity = self._open(), 64
        while True:
            buffer = ctypes.create_string_buffer(capacity)
            count: int = native.llama_token_to_piece(
                handle,
                token_id,
                buffer,
                capacity,
                0,
                False,  # noqa: FBT003 - control tokens have no piece
            )
            if count >= 0:
                return buffer.raw[:count]
            capacity = -count

    def _control(self, token_id: int) -> int | None:
        # Where a file names none, llama.cpp assumes ids that may well be words.
        return token_id if token_id in self.control_ids else None

    def _open(self) -> int:
        if self._handle is None:
            raise ModelError("vocabulary is closed: its model was closed")
        return self._handle
