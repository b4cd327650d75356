"""How llama-server is built: which commands, for which machine, and what is said when it fails.

Nothing is compiled: a script stands in for CMake.
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import pytest

from benchmarks import llama_server
from benchmarks.__main__ import main
from benchmarks.llama_server import build_server, built_server, has_device
from utils.llama.library import library_version

SOURCES = f"llama_cpp_python-{library_version()}"
CMAKE = """#!{python}
import pathlib, sys
pathlib.Path("{log}").open("a").write("\\n".join(sys.argv[1:]) + "\\n\\n")
if "--build" in sys.argv and {makes_program}:
    program = pathlib.Path(sys.argv[sys.argv.index("--build") + 1]) / "bin" / "llama-server"
    program.parent.mkdir(parents=True)
    program.write_text("built")
sys.exit({status} if "--build" in sys.argv else 0)
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with an archive of sources, as pip leaves it."""
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / SOURCES / "vendor" / "llama.cpp").mkdir(parents=True)
    with tarfile.open(folder / f"{SOURCES}.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / SOURCES, SOURCES)
    return folder


@pytest.fixture
def cmake(tmp_path, monkeypatch):
    """Put a script in CMake's place, and return what gives its calls."""
    log = tmp_path / "calls"

    def install(status: int = 0, *, makes_program: bool = True) -> None:
        script = tmp_path / "cmake"
        words = {"python": sys.executable, "log": log, "status": status}
        script.write_text(CMAKE.format(**words, makes_program=makes_program))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    install()
    install.calls = lambda: [call.split("\n") for call in log.read_text().strip().split("\n\n")]
    return install


def test_it_is_configured_and_compiled_from_the_unpacked_sources(folder, cmake):
    program = build_server(folder, tell=lambda _line: None)
    assert program == built_server(folder)
    assert program.read_text() == "built"
    configured, compiled = cmake.calls()
    sources, build = folder / SOURCES / "vendor" / "llama.cpp", program.parent.parent
    assert configured[:4] == ["-S", str(sources), "-B", str(build)]
    assert "-DCMAKE_BUILD_TYPE=Release" in configured
    assert not [option for option in configured if "CUDA" in option]
    assert compiled[:4] == ["--build", str(build), "--target", "llama-server"]


def test_what_was_built_is_not_built_again(folder, cmake):
    build_server(folder, tell=lambda _line: None)
    build_server(folder, tell=lambda _line: None)
    assert len(cmake.calls()) == 2


@pytest.mark.parametrize(
    ("backend", "option"),
    [
        ("cuda", "-DGGML_CUDA=ON"),
        ("hip", "-DGGML_HIP=ON"),
        ("metal", "-DGGML_METAL=ON"),
        ("vulkan", "-DGGML_VULKAN=ON"),
    ],
)
def test_with_a_gpu_it_is_built_for_it_beside_that_for_the_processor(
    folder, cmake, monkeypatch, backend, option
):
    plain = build_server(folder, tell=lambda _line: None)
    monkeypatch.setattr(llama_server, "gpu_backend", lambda: backend)
    assert build_server(folder, tell=lambda _line: None) != plain
    assert option in cmake.calls()[2]


def test_without_cmake_it_is_said_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(SystemExit, match="there is no cmake; install CMake and a C"):
        main(["build-llama-server", "--models-folder", str(folder)])


def test_a_compiler_that_fails_is_told_with_its_command(folder, cmake):
    cmake(status=2, makes_program=False)
    with pytest.raises(SystemExit, match=r"not built: `cmake --build .* ended with 2"):
        main(["build-llama-server", "--models-folder", str(folder)])


def test_a_build_that_leaves_no_program_is_told(folder, cmake):
    cmake(makes_program=False)
    with pytest.raises(RuntimeError, match=r"there is no .*/bin/llama-server after compiling"):
        build_server(folder, tell=lambda _line: None)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("  CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)", True),
        ("  MTL0: Apple M4 (9 MiB, 9 MiB free)\n  BLAS: Accelerate (0 MiB, 0 MiB free)", True),
        ("  BLAS: Accelerate (0 MiB, 0 MiB free)", False),
        ("  (none)", False),
    ],
)
def test_a_server_says_whether_it_has_a_gpu(tmp_path, listed, expected):
    program = tmp_path / "llama-server"
    told = f"log: {{}}\nAvailable devices:\n{listed}\n"
    program.write_text(f"#!{sys.executable}\nprint({told!r})\n")
    program.chmod(0o755)
    assert has_device(program) is expected


def test_a_server_that_cannot_be_asked_has_no_gpu(tmp_path):
    assert not has_device(tmp_path / "none")
    assert not has_device(Path(sys.executable))
