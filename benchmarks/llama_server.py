"""llama.cpp's own server as a peer: built from the sources that llama-cpp-python comes with."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import Any

import httpx

from benchmarks.machine import gpu_backend
from config import SamplingParams
from utils.llama.library import library_version

OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
)
# What compiles it for a GPU, by what the installed library computes with there.
GPU_OPTIONS = {
    "cuda": ("-DGGML_CUDA=ON",),
    "hip": ("-DGGML_HIP=ON",),
    "metal": ("-DGGML_METAL=ON",),
    "vulkan": ("-DGGML_VULKAN=ON",),
}
ALL_LAYERS = "999"
# It is listed as a device, but computes on the processor.
ON_PROCESSOR = "BLAS"
LIST_S = 60.0
START_S = 120.0
ANSWER_S = 300.0
POLL_S = 0.1
LENGTHS = (3, 5, 7, 10, 14)
SURENESS = (0.0, 0.75)
NGRAMS = ((3, 8), (5, 16))


@dataclass(frozen=True, slots=True)
class ServerSetting:
    """One point of the grid: a name and the arguments of the server."""

    name: str
    arguments: tuple[str, ...] = ()


def draft_settings(
    lengths: Sequence[int] = LENGTHS, sureness: Sequence[float] = SURENESS
) -> list[ServerSetting]:
    """Return the settings for a draft model that people tune by hand."""
    return [
        ServerSetting(
            f"draft n {length}, p {least:g}",
            (
                *("--spec-type", "draft-simple"),
                *("--spec-draft-n-max", f"{length}", "--spec-draft-p-min", f"{least}"),
            ),
        )
        for length in lengths
        for least in sureness
    ]


def ngram_settings(ngrams: Sequence[tuple[int, int]] = NGRAMS) -> list[ServerSetting]:
    """Return settings that draft by looking up n tokens and copying m."""
    return [
        ServerSetting(
            f"ngram n {size}, m {copied}",
            (
                *("--spec-type", "ngram-simple"),
                *("--spec-ngram-simple-size-n", f"{size}"),
                *("--spec-ngram-simple-size-m", f"{copied}"),
            ),
        )
        for size, copied in ngrams
    ]


def grid(*, with_draft: bool, is_small: bool) -> list[ServerSetting]:
    """Return plain decoding and all settings, or a quarter of them where it is to be small."""
    if is_small:
        drafts, ngrams = draft_settings(LENGTHS[2:4], SURENESS[1:]), ngram_settings(NGRAMS[:1])
    else:
        drafts, ngrams = draft_settings(), ngram_settings()
    return [ServerSetting("plain"), *(drafts if with_draft else ()), *ngrams]


class LlamaServer:
    """A server process with one setting; idle but while it answers."""

    def __init__(
        self,
        program: Path,
        setting: ServerSetting,
        *,
        target: Path,
        draft: Path | None,
        threads: int,
        context_tokens: int,
        on_gpu: bool = False,
    ) -> None:
        """Start it; raises `RuntimeError` with its last words if it does not become ready."""
        self.name, self.on_gpu = setting.name, on_gpu
        port = _free_port()
        command = [
            *(str(program), "-t", f"{threads}", "-c", f"{context_tokens}"),
            *("--host", "127.0.0.1", "--port", f"{port}"),
            *arguments(setting, target, draft, on_gpu=on_gpu),
        ]
        # A pipe that nobody reads would stop the server when full.
        self._words = TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            command, stdout=self._words, stderr=subprocess.STDOUT, env=_environment(program)
        )
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_S)
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def tokens_per_second(self, prompt: Sequence[int], sampling: SamplingParams) -> float:
        """Answer, and return the rate of decoding that the server says."""
        reply = self._client.post("/completion", json=request(prompt, sampling))
        reply.raise_for_status()
        return rate_of(reply.json())

    def close(self) -> None:
        """Stop the process."""
        self._client.close()
        self._process.terminate()
        self._process.wait()
        self._words.close()

    def _wait_until_ready(self) -> None:
        deadline = monotonic() + START_S
        while monotonic() < deadline:
            if self._process.poll() is not None:
                self._words.seek(0)
                words = self._words.read().decode(errors="replace").strip()
                raise RuntimeError(f"llama-server ended at its start: {words[-400:]}")
            try:
                if self._client.get("/health").is_success:
                    return
            except httpx.TransportError:
                pass
            sleep(POLL_S)
        raise RuntimeError(f"llama-server is not ready after {START_S:.0f} s")


def arguments(
    setting: ServerSetting, target: Path, draft: Path | None, *, on_gpu: bool
) -> list[str]:
    """Return the arguments for the models of a setting: all layers on the GPU where there is one.

    Plain attention is the faster one on a processor, for them as for us; on a GPU either decides.
    """
    found = ["-m", str(target), "-np", "1", "--log-disable", *setting.arguments]
    found += ["--flash-attn", "auto" if on_gpu else "off"]
    found += ["-ngl", ALL_LAYERS] if on_gpu else []
    if draft is not None and "draft-simple" in setting.arguments:
        found += ["-md", str(draft), *(["-ngld", ALL_LAYERS] if on_gpu else [])]
    return found


def has_device(program: Path) -> bool:
    """Ask a server whether it can compute on a GPU; one that cannot be run cannot."""
    try:
        told = subprocess.run(
            [str(program), "--list-devices"],
            env=_environment(program),
            capture_output=True,
            text=True,
            timeout=LIST_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    listed = told.partition("Available devices:")[2].splitlines()
    names = [line.partition(":")[0].strip() for line in listed if ":" in line]
    return any(name != ON_PROCESSOR for name in names)


def request(prompt: Sequence[int], sampling: SamplingParams) -> dict[str, Any]:
    """Return the body of a completion of the very tokens that we read, sampled as we sample."""
    return {
        "prompt": list(prompt),
        "n_predict": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "seed": sampling.seed,
        "cache_prompt": False,
    }


def rate_of(reply: dict[str, Any]) -> float:
    """Return tokens per second without the first one, which comes of reading the prompt."""
    timings = reply["timings"]
    steps = timings["predicted_n"] - 1
    return 1000 * steps / timings["predicted_ms"] if steps > 0 else 0.0


def built_server(folder: Path) -> Path:
    """Return where `build_server` puts the program, one for each backend."""
    name = "-".join(filter(None, ("llama-server", library_version(), gpu_backend())))
    return folder / name / "bin" / "llama-server"


def build_server(folder: Path, *, tell: Callable[[str], None] = print) -> Path:
    """Compile llama-server from the sources of the installed llama-cpp-python, for the same GPU.

    Needs CMake and a compiler, and pip's index for the sources if they are not in the folder yet.
    Raises `RuntimeError` with what failed.
    """
    program = built_server(folder)
    if program.exists():
        return program
    sources = _sources(folder, tell)
    tell("compiling llama-server: some ten minutes on two cores")
    build = str(program.parent.parent)
    llama_cpp = str(sources / "vendor" / "llama.cpp")
    options = (*OPTIONS, *GPU_OPTIONS.get(gpu_backend(), ()))
    _run("cmake", "-S", llama_cpp, "-B", build, *options)
    jobs = ("--target", "llama-server", "--parallel", f"{os.cpu_count() or 1}")
    _run("cmake", "--build", build, *jobs)
    if not program.exists():
        raise RuntimeError(f"llama-server was not built: there is no {program} after compiling")
    return program


def _sources(folder: Path, tell: Callable[[str], None]) -> Path:
    """Return the sources of the installed llama-cpp-python, downloaded where they are not there."""
    name = f"llama_cpp_python-{library_version()}"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{name}.tar.gz"
    if not archive.exists():
        tell(f"downloading {archive.name}")
        package = f"llama-cpp-python=={library_version()}"
        wanted = ("--no-deps", "--no-binary", ":all:", "--dest", str(folder), package)
        _run(sys.executable, "-m", "pip", "download", *wanted)
    sources = folder / name
    if not sources.exists():
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    return sources


def _run(*command: str) -> None:
    """Run a step of the build, which says itself what is wrong."""
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError as error:
        raise RuntimeError(
            f"llama-server was not built: there is no {command[0]}; install CMake and a C++ "
            "compiler"
        ) from error
    except subprocess.CalledProcessError as error:
        raise RuntimeError(
            f"llama-server was not built: `{' '.join(command[:3])} ...` ended with "
            f"{error.returncode}, see above"
        ) from error


def _environment(program: Path) -> dict[str, str]:
    """Return ours, with the program's own folder searched for libraries first."""
    folders = (str(program.parent), os.environ.get("LD_LIBRARY_PATH", ""))
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, folders))}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
