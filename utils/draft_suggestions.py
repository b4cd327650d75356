"""Which model of Ollama's library would draft for a target: a small one of the same family.

What is said here is only a suggestion, as of autumn 2026: whether the model suits is found out by
its file once it is here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# A larger one would not be chosen, once it is here.
LARGEST_SHARE = 1 / 3
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9.]+")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A model that could be pulled as a draft, and about how many parameters it has."""

    name: str
    parameters: int


_LLAMA = Suggestion("llama3.2:1b", 1_240_000_000)
_DEEPSEEK_R1 = Suggestion("deepseek-r1:1.5b", 1_780_000_000)
_LLAMA_2 = Suggestion("tinyllama:1.1b", 1_100_000_000)
_QWEN_2_5 = Suggestion("qwen2.5:0.5b", 494_000_000)
_QWEN_3 = Suggestion("qwen3:0.6b", 752_000_000)
# By how a name begins, the longer beginning first where two would do.
FAMILIES: dict[str, Suggestion] = {
    "codegemma": Suggestion("codegemma:2b", 2_510_000_000),
    "codellama": _LLAMA_2,
    "deepseek-coder": Suggestion("deepseek-coder:1.3b", 1_350_000_000),
    "deepseek-r1": _DEEPSEEK_R1,
    "exaone3.5": Suggestion("exaone3.5:2.4b", 2_670_000_000),
    "falcon3": Suggestion("falcon3:1b", 1_670_000_000),
    "gemma": Suggestion("gemma:2b", 2_510_000_000),
    "gemma2": Suggestion("gemma2:2b", 2_610_000_000),
    "gemma3": Suggestion("gemma3:270m", 268_000_000),
    "gpt-oss": Suggestion("gpt-oss:20b", 20_900_000_000),
    "granite3.3": Suggestion("granite3.3:2b", 2_530_000_000),
    "hermes3": _LLAMA,
    "llama2": _LLAMA_2,
    "llama3": _LLAMA,
    "llama3.1": _LLAMA,
    "llama3.2": _LLAMA,
    "llama3.3": _LLAMA,
    "meta-llama-3": _LLAMA,
    "meta-llama-3.1": _LLAMA,
    "meta-llama-3.3": _LLAMA,
    "phi3": Suggestion("phi3:3.8b", 3_820_000_000),
    "qwen2": Suggestion("qwen2:0.5b", 494_000_000),
    "qwen2.5": _QWEN_2_5,
    "qwen2.5-coder": Suggestion("qwen2.5-coder:0.5b", 494_000_000),
    "qwen3": _QWEN_3,
    "qwq": _QWEN_2_5,
    "smollm": Suggestion("smollm:135m", 135_000_000),
    "smollm2": Suggestion("smollm2:135m", 135_000_000),
    "starcoder2": Suggestion("starcoder2:3b", 3_030_000_000),
    "tulu3": _LLAMA,
    "vicuna": _LLAMA_2,
}
# The same by architecture, for names that say nothing.
ARCHITECTURES: dict[str, Suggestion] = {
    "gemma": FAMILIES["gemma"],
    "gemma2": FAMILIES["gemma2"],
    "gemma3": FAMILIES["gemma3"],
    "gpt-oss": FAMILIES["gpt-oss"],
    "qwen2": _QWEN_2_5,
    "qwen3": _QWEN_3,
}
# Families of one name and several vocabularies, by architecture: of others there is no small one.
MIXED: dict[str, dict[str, Suggestion]] = {
    "deepseek-r1": {"llama": _LLAMA, "qwen2": _DEEPSEEK_R1, "qwen3": _DEEPSEEK_R1},
}


def suggest_draft(name: str, architecture: str, parameters: int) -> Suggestion | None:
    """Return a small relative of a target, by its name or else its architecture.

    None where no family is known, or its smallest is over a third of the target's size.
    """
    plain = _plain(name)
    family = max((known for known in FAMILIES if _is_of(plain, known)), key=len, default="")
    if family in MIXED:
        found = MIXED[family].get(architecture)
    else:
        found = FAMILIES.get(family) or ARCHITECTURES.get(architecture)
    if found is None or found.parameters > LARGEST_SHARE * parameters:
        return None
    return found


def _plain(name: str) -> str:
    """Return the name without namespace and tag, as in `hf.co/user/Llama-3.2-3B-GGUF:Q4_K_M`."""
    last = name.lower().rsplit("/", 1)[-1].split(":", 1)[0]
    return _NOT_IN_A_NAME.sub("-", last)


def _is_of(plain: str, family: str) -> bool:
    """Tell whether a name begins with that of a family, written with a dash or without.

    What follows must not go on with its version: `qwen3` is no beginning of `qwen30` or `qwen3.5`,
    which has another vocabulary.
    """
    for start in (family, re.sub(r"([a-z])(\d)", r"\1-\2", family, count=1)):
        rest = plain.removeprefix(start)
        if rest != plain and not rest[:1].isalnum() and rest[:1] != ".":
            return True
    return False
