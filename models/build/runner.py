"""Greedy decoding and raw logits of a GGUF file through llama-cpp-python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray


class Runner:
    """One loaded model with one conversation in its cache."""

    def __init__(
        self, path: Path, *, context: int = 1024, threads: int = 2, every_position: bool = False
    ) -> None:
        self.llm: Any = llama_cpp.Llama(
            str(path), n_ctx=context, n_threads=threads, logits_all=every_position, verbose=False
        )

    def token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text that may hold control tokens."""
        ids: list[int] = self.llm.tokenize(text.encode(), add_bos=False, special=True)
        return ids

    def logits(self, token_ids: list[int]) -> NDArray[np.float32]:
        """Return the logits after the last of the tokens, which follow those read before."""
        self.llm.eval(token_ids)
        last = llama_cpp.llama_get_logits_ith(self.llm.ctx, -1)
        return np.ctypeslib.as_array(last, shape=(self.llm.n_vocab(),)).copy()

    def greedy(self, prompt: str, *, limit: int = 256, stop_at_end: bool = True) -> list[int]:
        """Return the most likely answer, without its end token."""
        self.llm.reset()
        answer: list[int] = []
        logits = self.logits(self.token_ids(prompt))
        while len(answer) < limit:
            token = int(logits.argmax())
            if stop_at_end and token == self.llm.token_eos():
                break
            answer.append(token)
            logits = self.logits([token])
        return answer

    def text(self, token_ids: list[int]) -> str:
        """Return the text of tokens, control tokens spelled out."""
        raw: bytes = self.llm.detokenize(token_ids, special=True)
        return raw.decode(errors="replace")
