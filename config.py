"""Settings of the app: read from the environment and `.env`, checked once, at the start."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from utils.errors import ConfigError, UnknownModelError
from utils.model_names import full_name, name_of_file
from utils.server_address import check_server_address
from utils.settings_reference import explain_json, explain_problem

ROOT = Path(__file__).resolve().parent
EMBEDDED = "embedded"
LOOKUP = "lookup"
AUTO = "auto"
OWN_NAMES = frozenset({AUTO, EMBEDDED, LOOKUP})
PREFIX = "SPECCHAT_"
ENV_FILE = ".env"

VerifierName = Literal["coupled", "rejection", "block"]
MAX_PULLED_MODELS = 32
DraftLengthName = Literal["adaptive", "fixed"]
FlashAttention = Literal["auto", "on", "off"]
CacheType = Literal["f16", "q8_0", "q4_0"]


def _check_model_name(name: str) -> str:
    try:
        return full_name(name)
    except UnknownModelError as error:
        raise ValueError(str(error)) from error


class SamplingParams(BaseModel):
    """How the next token is chosen; the draft mirrors the same settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(0.8, ge=0, le=5, description="0 is greedy: the likeliest token.")
    top_k: int = Field(40, ge=0, le=1000, description="Keep the k likeliest tokens; 0 keeps all.")
    top_p: float = Field(0.95, gt=0, le=1, description="Keep the likeliest tokens up to this mass.")
    min_p: float = Field(0.0, ge=0, le=1, description="Drop tokens under this share of the top.")
    repetition_penalty: float = Field(
        1.0, ge=0.01, le=4, description="Divides logits of seen tokens."
    )
    frequency_penalty: float = Field(0.0, ge=-2, le=2, description="Subtracted per occurrence.")
    presence_penalty: float = Field(0.0, ge=-2, le=2, description="Subtracted once if seen.")
    penalty_window: int = Field(64, ge=0, le=4096, description="Tokens the penalties look back on.")
    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100)]] = Field(
        default_factory=dict, max_length=64, description="Added to the logits of these token ids."
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Same seed, same text; empty: random."
    )
    max_tokens: int = Field(512, ge=1, le=131_072, description="Longest answer, in tokens.")
    stop: tuple[Annotated[str, Field(min_length=1, max_length=128)], ...] = Field(
        (), max_length=16, description="Texts that end the answer; they are not part of it."
    )
    json_output: bool = Field(False, description="Answer with a JSON object.")
    json_schema: str | None = Field(
        None, max_length=65_536, description="Answer with JSON that this JSON schema describes."
    )
    grammar: str | None = Field(
        None, max_length=65_536, description="Answer with a text of this grammar, in GBNF."
    )

    @property
    def is_greedy(self) -> bool:
        """True where the likeliest token is taken without noise."""
        return self.temperature == 0

    @property
    def has_penalties(self) -> bool:
        """True where logits depend on the tokens already seen."""
        return self.penalty_window > 0 and (
            self.repetition_penalty != 1
            or self.frequency_penalty != 0
            or self.presence_penalty != 0
        )


class SpeculativeConfig(BaseModel):
    """Whether and how answers are drafted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="Draft and verify; off is plain decoding.")
    draft_model: str = Field(
        AUTO,
        min_length=1,
        max_length=512,
        description="`auto` (what suits the target best), `embedded`, `lookup` (no model), or the "
        "name or the path of a GGUF in a model folder.",
    )
    draft_length: DraftLengthName = Field(
        "adaptive",
        description="`adaptive` drafts what is measured to pay; `fixed` always `max_draft_tokens`.",
    )
    max_draft_tokens: int = Field(
        5, ge=1, le=16, description="Tokens drafted in a round, where that is fixed."
    )
    acceptance_threshold: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Under this rate, over a window, drafting of a fixed length pauses; 0: never.",
    )
    acceptance_window: int = Field(
        64, ge=8, le=1024, description="Drafted tokens over which the acceptance rate is judged."
    )
    fallback_enabled: bool = Field(
        True, description="Go on in standard mode when the draft fails; off: the answer fails."
    )
    performance_monitoring: bool = Field(True, description="Measure rounds and show live charts.")
    verifier: VerifierName = Field(
        "coupled", description="Rule that accepts drafted tokens; every one is lossless."
    )
    lookup_earlier: bool = Field(
        True, description="Look up in earlier conversations of the same user, not only in this one."
    )
    deterministic: bool = Field(
        False,
        description="Make every pass equally wide, so that rounding is the same with any draft: "
        "slower, and the text equal to the last bit.",
    )


class RolloutConfig(BaseModel):
    """Who drafts, where users leave it open; the page Experiments changes it while running."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    speculative_percent: int | None = Field(
        None,
        ge=0,
        le=100,
        description="Share of browsers, chosen by chance, whose answers are drafted, in percent; "
        "empty: no experiment, all follow `SPECCHAT_SPECULATIVE__ENABLED`.",
    )
    stopped: bool = Field(False, description="Kill switch: no chat drafts until allowed on a page.")


class ModelOptions(BaseModel):
    """How llama.cpp opens a model; `None` threads mean one per physical core."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    context_tokens: int = Field(4096, ge=16, le=1_048_576)
    batch_tokens: int = Field(512, ge=16, le=8192)
    threads: int | None = Field(None, ge=1, le=1024)
    batch_threads: int | None = Field(None, ge=1, le=1024)
    gpu_layers: int = Field(-1, ge=-1, le=10_000)
    flash_attention: FlashAttention = "auto"
    cache_type: CacheType = "f16"
    use_mmap: bool = True


class Settings(BaseSettings):
    """Everything that can be set from outside; the prefix is `SPECCHAT_`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    target_model: str = Field(
        EMBEDDED,
        min_length=1,
        description="Target: `embedded`, or the name or the path of a GGUF in a model folder.",
    )
    model_folders: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description=f"Folders with GGUF files, separated by `{os.pathsep}`."
    )
    context_tokens: int = Field(
        4096,
        ge=64,
        le=1_048_576,
        description="Context of the target, up to what it was trained for.",
    )
    batch_tokens: int = Field(512, ge=32, le=8192, description="Prompt tokens decoded in one pass.")
    threads: int | None = Field(
        None, ge=1, le=1024, description="Threads for short passes; empty: at most physical cores."
    )
    batch_threads: int | None = Field(
        None, ge=1, le=1024, description="Threads for longer passes (verification, prompts)."
    )
    gpu_layers: int = Field(
        -1, ge=-1, le=10_000, description="Layers on the GPU; -1: all, where the build has one."
    )
    flash_attention: FlashAttention = Field(
        "auto", description="Flash attention; `auto`: on a GPU, or where memory is short."
    )
    cache_type: CacheType = Field("f16", description="Number format of the KV cache.")
    use_mmap: bool = Field(True, description="Map model files instead of reading them.")
    queue_limit: int = Field(16, ge=1, le=1024, description="Answers that may wait for the engine.")
    max_prompt_chars: int = Field(
        400_000, ge=100, le=10_000_000, description="Longest conversation taken, in characters."
    )
    stall_timeout_s: float = Field(
        120, ge=1, le=3600, description="Silence after which a busy engine is restarted."
    )
    load_timeout_s: float = Field(
        600, ge=1, le=7200, description="Longest time a model may take to load, in seconds."
    )
    cache_folder: Path = Field(
        default_factory=lambda: Path.home() / ".cache" / "specchat",
        description="Where verdicts on model files are kept.",
    )
    data_folder: Path = Field(
        default_factory=lambda: Path.home() / ".local" / "share" / "specchat",
        description="Where conversations, experiments and preferences are kept.",
    )
    speculative: SpeculativeConfig = Field(
        default_factory=SpeculativeConfig, description="Defaults of speculative decoding."
    )
    sampling: SamplingParams = Field(
        default_factory=SamplingParams, description="Defaults of sampling."
    )
    rollout: RolloutConfig = Field(
        default_factory=RolloutConfig, description="Initial state of the experiment on drafting."
    )
    ollama_url: Annotated[str, AfterValidator(check_server_address)] = Field(
        "http://127.0.0.1:11434",
        max_length=512,
        description="Where Ollama listens.",
        json_schema_extra={"allowed": "an address like http://host:11434 or https://host/path"},
    )
    ollama_model: str = Field(
        "", max_length=512, description="Ollama model that answers when the engine cannot."
    )
    ollama_store: Path | None = Field(
        None, description="Ollama's folder of models; empty: where Ollama keeps it by default."
    )
    ollama_idle_timeout_s: float = Field(
        60, ge=1, le=3600, description="Longest silence of Ollama while it loads or writes."
    )

    pull_models: Annotated[
        tuple[Annotated[str, AfterValidator(_check_model_name)], ...], NoDecode
    ] = Field(
        (),
        max_length=MAX_PULLED_MODELS,
        description="Models that Ollama is to have: those missing are pulled at the start.",
        json_schema_extra={
            "allowed": f"up to {MAX_PULLED_MODELS} names like `llama3.2:3b` or "
            "`hf.co/user/repo:Q4_K_M`, separated by commas"
        },
    )
    pull_missing: bool = Field(
        True,
        description="Pull models named in the settings that are not installed, where Ollama runs.",
    )

    @field_validator("model_folders", mode="before")
    @classmethod
    def _split_folders(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(part).expanduser() for part in value.split(os.pathsep) if part)
        return value

    @field_validator("pull_models", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @property
    def model_options(self) -> ModelOptions:
        """How models are opened."""
        return ModelOptions(**{name: getattr(self, name) for name in ModelOptions.model_fields})


def load_settings() -> Settings:
    """Read the settings, or raise `ConfigError` naming variable, value and allowed range."""
    try:
        return _named(Settings())
    except ValidationError as error:
        told = (explain_problem(problem, Settings, PREFIX) for problem in error.errors())
        raise ConfigError("; ".join(told)) from error
    except SettingsError as error:
        raise ConfigError(explain_json(error, Settings, PREFIX, ENV_FILE)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{ENV_FILE} cannot be read: {error}") from error


def _named(settings: Settings) -> Settings:
    """Return the settings with the names of models that are given by their files."""
    drafting = settings.speculative
    target = _name_of("TARGET_MODEL", settings.target_model, settings.model_folders)
    draft = _name_of("SPECULATIVE__DRAFT_MODEL", drafting.draft_model, settings.model_folders)
    if (target, draft) == (settings.target_model, drafting.draft_model):
        return settings
    named = drafting.model_copy(update={"draft_model": draft})
    return settings.model_copy(update={"target_model": target, "speculative": named})


def _name_of(setting: str, given: str, folders: tuple[Path, ...]) -> str:
    try:
        return name_of_file(given, folders, OWN_NAMES)
    except UnknownModelError as error:
        raise ConfigError(f"{PREFIX}{setting} is wrong: found {error}") from error


@cache
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()
