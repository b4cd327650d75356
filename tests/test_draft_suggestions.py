from __future__ import annotations

import pytest

from utils.draft_suggestions import ARCHITECTURES, FAMILIES, suggest_draft
from utils.model_names import full_name

BILLION = 10**9


def suggested(name, architecture="llama", billions=8.0):
    found = suggest_draft(name, architecture, int(billions * BILLION))
    return found.name if found else None


@pytest.mark.parametrize(
    ("name", "draft"),
    [
        ("llama3.1:8b", "llama3.2:1b"),
        ("Llama-3.2-11B-Instruct-Q4_K_M", "llama3.2:1b"),
        ("Meta-Llama-3-8B", "llama3.2:1b"),
        ("Meta-Llama-3.1-8B-Instruct", "llama3.2:1b"),
        ("Llama-3.3-70B-Instruct", "llama3.2:1b"),
        ("hf.co/bartowski/Qwen2.5-7B-Instruct-GGUF:Q4_K_M", "qwen2.5:0.5b"),
        ("qwen2.5-coder:7b", "qwen2.5-coder:0.5b"),
        ("qwen2:7b", "qwen2:0.5b"),
        ("qwen3:8b", "qwen3:0.6b"),
        ("gemma3:4b", "gemma3:270m"),
        ("smollm2:1.7b", "smollm2:135m"),
        ("codellama:13b", "tinyllama:1.1b"),
    ],
)
def test_a_well_known_family_has_a_small_relative(name, draft):
    assert suggested(name) == draft


@pytest.mark.parametrize(
    ("name", "architecture", "draft"),
    [
        ("deepseek-r1:14b", "qwen2", "deepseek-r1:1.5b"),
        ("deepseek-r1:8b", "qwen3", "deepseek-r1:1.5b"),
        ("deepseek-r1:70b", "llama", "llama3.2:1b"),
        ("DeepSeek-R1-Distill-Llama-8B-GGUF", "llama", "llama3.2:1b"),
        ("deepseek-r1:671b", "deepseek2", None),
    ],
)
def test_a_family_of_several_vocabularies_goes_by_name_and_architecture(name, architecture, draft):
    assert suggested(name, architecture, billions=8) == draft


def test_a_name_that_says_nothing_goes_by_its_architecture():
    assert suggested("my-finetune", "qwen3") == "qwen3:0.6b"


@pytest.mark.parametrize(
    "name", ["mistral:7b", "llama30", "qwen3.5:9b", "gemma3n:e4b", "", "..", "日本"]
)
def test_no_family_is_guessed(name):
    assert suggested(name) is None


@pytest.mark.parametrize(("billions", "draft"), [(1.2, None), (3.2, None), (3.8, "llama3.2:1b")])
def test_a_draft_of_over_a_third_of_the_size_is_not_suggested(billions, draft):
    assert suggested("llama3.2", billions=billions) == draft


def test_all_that_is_suggested_can_be_pulled_by_its_name():
    for suggestion in (*FAMILIES.values(), *ARCHITECTURES.values()):
        assert full_name(suggestion.name) == suggestion.name
        assert suggestion.parameters > 0
