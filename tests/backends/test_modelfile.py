"""Modelfiles as Ollama prints them, and the defaults that follow from them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import SamplingParams
from tests.ollama_server import recorded
from utils.backends.modelfile import Modelfile, model_defaults, parse_modelfile

BASE = SamplingParams(temperature=0.9, max_tokens=99)


def shown() -> Modelfile:
    return parse_modelfile(json.loads(recorded("show")["lines"][0])["modelfile"])


def defaults(**parameters):
    values = {
        name: value if isinstance(value, list) else [value] for name, value in parameters.items()
    }
    return model_defaults(Modelfile(parameters=values), BASE)


def test_the_modelfile_of_a_real_server_is_read_whole():
    modelfile = shown()
    (source,) = modelfile.sources
    assert source.startswith("/store/blobs/sha256-")
    assert modelfile.system == "You are a story writer.\nYou write short stories."
    assert modelfile.template.startswith("{{- range .Messages }}<|im_start|>")
    assert modelfile.template.endswith("<|im_start|>assistant\n")
    assert modelfile.parameters == {
        "num_ctx": ["1024"],
        "seed": ["7"],
        "stop": ["Human:", "The end, "],
        "temperature": ["0.5"],
        "top_k": ["30"],
    }


def test_its_parameters_become_defaults_over_those_of_the_settings():
    found = model_defaults(shown(), BASE)
    assert found.sampling == SamplingParams(
        temperature=0.5, top_k=30, seed=7, stop=("Human:", "The end, "), max_tokens=99
    )
    assert (found.context_tokens, found.ignored) == (1024, ())
    assert found.system == "You are a story writer.\nYou write short stories."
    assert found.template.startswith("{{- range")


def test_every_word_of_ollama_has_its_place():
    sampling = defaults(
        top_p="0.5",
        min_p="0.1",
        repeat_penalty="1.3",
        repeat_last_n="32",
        presence_penalty="-0.5",
        frequency_penalty="-1",
        num_predict="12",
    ).sampling
    assert sampling == SamplingParams(
        temperature=0.9,
        top_p=0.5,
        min_p=0.1,
        repetition_penalty=1.3,
        penalty_window=32,
        presence_penalty=-0.5,
        frequency_penalty=-1,
        max_tokens=12,
    )


def test_numbers_without_limit_are_not_taken_for_numbers():
    found = defaults(num_predict="-1", seed="-1", repeat_last_n="-1", num_predict_="7")
    assert found.sampling == BASE.model_copy(update={"penalty_window": 4096})
    assert found.ignored == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"),
        ("temperature", "-1"),
        ("top_p", "0"),
        ("top_k", "5000"),
        ("stop", ["x" * 500]),
        ("num_ctx", "many"),
        ("num_ctx", "0"),
    ],
)
def test_what_is_not_sound_is_left_out_and_named(name, value):
    found = defaults(**{name: value, "min_p": "0.2"})
    assert found.sampling == BASE.model_copy(update={"min_p": 0.2})
    (ignored,) = found.ignored
    assert ignored.startswith(name)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("SYSTEM plain words", "plain words"),
        ('SYSTEM "quoted words "', "quoted words "),
        ('SYSTEM "two\nlines"', "two\nlines"),
        ('SYSTEM """with "quotes"\nand lines"""', 'with "quotes"\nand lines'),
        ('SYSTEM """one line"""', "one line"),
        ('SYSTEM "two\nlines\n"', "two\nlines\n"),
        ('SYSTEM say "yes"', 'say "yes"'),
        ('SYSTEM "never closed', '"never closed'),
        ("system small letters", "small letters"),
        ("# SYSTEM no", ""),
        ("", ""),
    ],
)
def test_texts_are_taken_out_of_their_quotes(line, value):
    modelfile = parse_modelfile(f"FROM a\n{line}\nDRAFT b\nADAPTER c\n")
    assert modelfile.system == value
    assert (modelfile.sources, modelfile.drafts, modelfile.adapters) == (("a",), ("b",), ("c",))


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_without_an_error(text):
    found = model_defaults(parse_modelfile(text), BASE)
    assert isinstance(found.sampling, SamplingParams)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["temperature", "top_k", "seed", "stop", "num_ctx", "num_predict"]),
        st.lists(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans())),
    )
)
def test_any_parameters_give_sound_defaults(parameters):
    found = model_defaults(Modelfile(parameters=parameters), BASE)
    assert SamplingParams.model_validate(found.sampling.model_dump()) == found.sampling
