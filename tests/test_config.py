"""What the environment can set, and what a wrong value says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config import PREFIX, ModelOptions, SamplingParams, Settings, get_settings, load_settings
from utils.errors import ConfigError
from utils.settings_reference import describe_settings


@pytest.fixture(autouse=True)
def _empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_without_an_environment_the_embedded_pair_speculates():
    settings = load_settings()
    assert (settings.target_model, settings.speculative.draft_model) == ("embedded", "auto")
    assert settings.speculative.enabled
    assert settings.speculative.max_draft_tokens == 5
    assert settings.speculative.acceptance_threshold == 0.7
    assert settings.speculative.fallback_enabled
    assert settings.speculative.performance_monitoring


def test_the_environment_sets_a_value(monkeypatch):
    monkeypatch.setenv("SPECCHAT_CONTEXT_TOKENS", "1024")
    assert load_settings().context_tokens == 1024


@pytest.mark.parametrize("given", ["tale", "tale.gguf", "shelf/tale.gguf", "./shelf/tale.gguf"])
def test_a_model_is_named_with_the_ending_of_its_file_or_by_its_path(monkeypatch, tmp_path, given):
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "tale.gguf").write_bytes(b"")
    monkeypatch.setenv("SPECCHAT_MODEL_FOLDERS", "shelf")
    for name in (given, str(tmp_path / "shelf" / "tale.gguf")):
        monkeypatch.setenv("SPECCHAT_TARGET_MODEL", name)
        monkeypatch.setenv("SPECCHAT_SPECULATIVE__DRAFT_MODEL", name)
        monkeypatch.setenv("SPECCHAT_SPECULATIVE__MAX_DRAFT_TOKENS", "3")
        settings = load_settings()
        assert settings.target_model == settings.speculative.draft_model == "tale"
        assert settings.speculative.max_draft_tokens == 3
        assert "target_model" in settings.model_fields_set


@pytest.mark.parametrize("variable", ["TARGET_MODEL", "SPECULATIVE__DRAFT_MODEL"])
def test_a_file_in_no_model_folder_is_refused_and_told_what_to_write(monkeypatch, variable):
    monkeypatch.setenv(PREFIX + variable, "/elsewhere/tale.gguf")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value) == (
        f"SPECCHAT_{variable} is wrong: found '/elsewhere/tale.gguf', which lies in no model "
        "folder; add '/elsewhere' to SPECCHAT_MODEL_FOLDERS, and write 'tale'"
    )


def test_a_nested_value_leaves_its_neighbours_alone(monkeypatch):
    monkeypatch.setenv("SPECCHAT_SPECULATIVE__MAX_DRAFT_TOKENS", "3")
    speculative = load_settings().speculative
    assert (speculative.max_draft_tokens, speculative.acceptance_threshold) == (3, 0.7)


def test_nested_json_is_read(monkeypatch):
    monkeypatch.setenv("SPECCHAT_SAMPLING__STOP", '["END", "\\n\\n"]')
    monkeypatch.setenv("SPECCHAT_SAMPLING__LOGIT_BIAS", '{"7": -2.5}')
    sampling = load_settings().sampling
    assert sampling.stop == ("END", "\n\n")
    assert sampling.logit_bias == {7: -2.5}


def test_a_dotenv_file_is_read_and_the_environment_wins(monkeypatch):
    Path(".env").write_text("SPECCHAT_THREADS=2\nSPECCHAT_SAMPLING__TOP_K=7\nOTHER=1\n")
    monkeypatch.setenv("SPECCHAT_THREADS", "1")
    settings = load_settings()
    assert (settings.threads, settings.sampling.top_k) == (1, 7)


@pytest.mark.parametrize("name", ["SPECCHAT_THREADS", "SPECCHAT_SAMPLING__SEED"])
def test_an_empty_variable_means_the_default(monkeypatch, name):
    monkeypatch.setenv(name, "")
    settings = load_settings()
    assert settings.threads is None
    assert settings.sampling.seed is None


def test_folders_are_split_and_the_home_folder_is_found(monkeypatch):
    monkeypatch.setenv("SPECCHAT_MODEL_FOLDERS", os.pathsep.join(["~/models", "other one", ""]))
    assert load_settings().model_folders == (Path.home() / "models", Path("other one"))


def test_names_of_models_are_split_checked_and_completed(monkeypatch):
    monkeypatch.setenv("SPECCHAT_PULL_MODELS", "llama3.2:3b, hf.co/me/Tale-GGUF:Q4_K_M ,demo,")
    assert load_settings().pull_models == (
        "llama3.2:3b",
        "hf.co/me/Tale-GGUF:Q4_K_M",
        "demo:latest",
    )


def test_one_wrong_name_among_several_is_named(monkeypatch):
    monkeypatch.setenv("SPECCHAT_PULL_MODELS", "demo,../../etc/passwd")
    with pytest.raises(ConfigError, match=r"PULL_MODELS is wrong: found '../../etc/passwd'"):
        load_settings()


WRONG = [
    ("CONTEXT_TOKENS", "63", "from 64 to 1048576"),
    ("BATCH_TOKENS", "8193", "from 32 to 8192"),
    ("THREADS", "1.5", "a whole number from 1 to 1024, or empty"),
    ("BATCH_THREADS", "0", "from 1 to 1024"),
    ("GPU_LAYERS", "-2", "from -1 to 10000"),
    ("FLASH_ATTENTION", "yes", "auto, on or off"),
    ("CACHE_TYPE", "f32", "f16, q8_0 or q4_0"),
    ("USE_MMAP", "maybe", "true or false"),
    ("QUEUE_LIMIT", "9" * 400, "from 1 to 1024"),
    ("MAX_PROMPT_CHARS", "many", "from 100 to 10000000"),
    ("STALL_TIMEOUT_S", "nan", "a number from 1 to 3600"),
    ("LOAD_TIMEOUT_S", "inf", "a number from 1 to 7200"),
    ("OLLAMA_URL", "http://user@host", "an address like http://host:11434"),
    ("OLLAMA_MODEL", "x" * 513, "a text of 0 to 512 characters"),
    ("OLLAMA_IDLE_TIMEOUT_S", "0", "a number from 1 to 3600"),
    ("PULL_MODELS", "a/b/c/d", "separated by commas"),
    ("PULL_MISSING", "perhaps", "true or false"),
    ("SPECULATIVE__ENABLED", "2", "true or false"),
    ("SPECULATIVE__DRAFT_MODEL", "x" * 513, "a text of 1 to 512 characters"),
    ("SPECULATIVE__DRAFT_LENGTH", "long", "adaptive or fixed"),
    ("SPECULATIVE__LOOKUP_EARLIER", "2", "true or false"),
    ("SPECULATIVE__DETERMINISTIC", "2", "true or false"),
    ("SPECULATIVE__MAX_DRAFT_TOKENS", "17", "a whole number from 1 to 16"),
    ("SPECULATIVE__ACCEPTANCE_THRESHOLD", "70", "a number from 0 to 1"),
    ("SPECULATIVE__ACCEPTANCE_WINDOW", "7", "from 8 to 1024"),
    ("SPECULATIVE__FALLBACK_ENABLED", "-", "true or false"),
    ("SPECULATIVE__PERFORMANCE_MONITORING", "-", "true or false"),
    ("SPECULATIVE__VERIFIER", "greedy", "coupled, rejection or block"),
    ("SAMPLING__TEMPERATURE", "-0.1", "a number from 0 to 5"),
    ("SAMPLING__TOP_K", "1001", "from 0 to 1000"),
    ("SAMPLING__TOP_P", "0", "a number above 0, up to 1"),
    ("SAMPLING__MIN_P", "1.1", "from 0 to 1"),
    ("SAMPLING__REPETITION_PENALTY", "1e-38", "a number from 0.01 to 4"),
    ("SAMPLING__FREQUENCY_PENALTY", "3", "from -2 to 2"),
    ("SAMPLING__PRESENCE_PENALTY", "-3", "from -2 to 2"),
    ("SAMPLING__PENALTY_WINDOW", "4097", "from 0 to 4096"),
    ("SAMPLING__LOGIT_BIAS", "seven", "a JSON object of 0 to 64 entries, each a number from -100"),
    ("SAMPLING__SEED", "-1", "from 0 to 9223372036854775807"),
    ("SAMPLING__MAX_TOKENS", "0", "from 1 to 131072"),
    ("SAMPLING__STOP", "END", "a JSON list of 0 to 16 texts, each a text of 1 to 128 characters"),
    ("SAMPLING__JSON_OUTPUT", "maybe", "true or false"),
    ("SAMPLING__JSON_SCHEMA", "x" * 65_537, "a text of 0 to 65536 characters, or empty"),
    ("SAMPLING__GRAMMAR", "x" * 65_537, "a text of 0 to 65536 characters, or empty"),
    ("ROLLOUT__SPECULATIVE_PERCENT", "101", "a whole number from 0 to 100, or empty"),
    ("ROLLOUT__STOPPED", "perhaps", "true or false"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_a_wrong_value_names_variable_value_and_allowed_range(monkeypatch, name, value, allowed):
    monkeypatch.setenv(f"SPECCHAT_{name}", value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    sentence = str(caught.value)
    assert sentence.startswith(f"SPECCHAT_{name} is wrong: found {value!r}; allowed is ")
    assert allowed in sentence


def test_every_setting_that_can_be_wrong_is_tried_above():
    names = {setting.variable for setting in describe_settings(Settings, PREFIX)}
    any_text = {
        f"SPECCHAT_{name}"
        for name in (
            "TARGET_MODEL",
            "MODEL_FOLDERS",
            "CACHE_FOLDER",
            "DATA_FOLDER",
            "OLLAMA_STORE",
        )
    }
    assert names - any_text == {f"SPECCHAT_{name}" for name, *_ in WRONG}


def test_every_setting_has_a_meaning():
    unexplained = [row.variable for row in describe_settings(Settings, PREFIX) if not row.meaning]
    assert unexplained == []


def test_a_wrong_value_inside_json_names_the_variable_and_the_value(monkeypatch):
    monkeypatch.setenv("SPECCHAT_SAMPLING__LOGIT_BIAS", '{"5": 1000}')
    with pytest.raises(ConfigError, match=r"SAMPLING__LOGIT_BIAS is wrong: found 1000; allowed"):
        load_settings()


@pytest.mark.parametrize("value", ["{broken", "[1]"])
def test_a_group_that_is_no_json_object_is_refused(monkeypatch, value):
    monkeypatch.setenv("SPECCHAT_SPECULATIVE", value)
    with pytest.raises(ConfigError, match="SPECCHAT_SPECULATIVE is"):
        load_settings()


def test_a_misspelt_nested_name_is_refused_with_the_nearest_one(monkeypatch):
    monkeypatch.setenv("SPECCHAT_SPECULATIVE__VERIFYER", "block")
    with pytest.raises(ConfigError, match=r"is no setting.*SPECCHAT_SPECULATIVE__VERIFIER"):
        load_settings()


def test_a_wrong_value_in_the_dotenv_file_names_the_variable():
    Path(".env").write_text("SPECCHAT_SAMPLING__STOP=END\n")
    with pytest.raises(ConfigError, match="SPECCHAT_SAMPLING__STOP is wrong: found 'END'"):
        load_settings()


def test_a_dotenv_file_that_is_no_text_is_refused():
    Path(".env").write_bytes(b"SPECCHAT_THREADS=\xff\xfe")
    with pytest.raises(ConfigError, match=r"\.env cannot be read"):
        load_settings()


def test_several_wrong_values_are_told_at_once(monkeypatch):
    monkeypatch.setenv("SPECCHAT_THREADS", "0")
    monkeypatch.setenv("SPECCHAT_QUEUE_LIMIT", "0")
    with pytest.raises(ConfigError, match=r"SPECCHAT_THREADS .*; SPECCHAT_QUEUE_LIMIT "):
        load_settings()


def test_the_settings_of_a_process_are_read_once(monkeypatch):
    get_settings.cache_clear()
    before = get_settings()
    monkeypatch.setenv("SPECCHAT_THREADS", "1")
    assert get_settings() is before
    get_settings.cache_clear()


def test_model_options_carry_the_settings_over(monkeypatch):
    monkeypatch.setenv("SPECCHAT_CONTEXT_TOKENS", "256")
    monkeypatch.setenv("SPECCHAT_CACHE_TYPE", "q8_0")
    expected = ModelOptions(context_tokens=256, cache_type="q8_0")
    assert load_settings().model_options == expected


def test_greedy_is_temperature_zero():
    assert SamplingParams(temperature=0).is_greedy
    assert not SamplingParams(temperature=0.01).is_greedy


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"repetition_penalty": 1.1}, True),
        ({"frequency_penalty": -0.5}, True),
        ({"presence_penalty": 0.5}, True),
        ({"presence_penalty": 0.5, "penalty_window": 0}, False),
    ],
)
def test_penalties_count_only_where_they_change_a_logit(changes, expected):
    assert SamplingParams(**changes).has_penalties is expected
