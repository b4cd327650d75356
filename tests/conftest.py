"""Tests run from the project's root and see no settings of the person who runs them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator, Iterator

import pytest

from config import ROOT, get_settings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put browser tests last: Playwright's event loop runs on, and asyncio allows no other."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("OLLAMA_MODELS", raising=False)
        for name in list(os.environ):
            if name.upper().startswith("SPECCHAT_"):
                patch.delenv(name)
        patch.chdir(ROOT)
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Sizes of the suites that can be run larger than in CI."""
    parser.addoption("--samples", type=int, default=20_000, help="tokens per losslessness setting")
    parser.addoption("--prompts", type=int, default=32, help="prompts of the equality tests")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Function) -> Generator[None, object, object]:
    """Trace nothing in `no_cover` tests: in xdist pytest-cov leaves a second tracer running."""
    if item.get_closest_marker("no_cover") is None and "no_cover" not in item.fixturenames:
        return (yield)
    tracer, thread_tracer = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)
        threading.settrace(thread_tracer)


@pytest.fixture
def samples(request: pytest.FixtureRequest) -> int:
    """Tokens per setting of the losslessness tests."""
    count: int = request.config.getoption("--samples")
    return count


@pytest.fixture(scope="session")
def prompts(request: pytest.FixtureRequest) -> int:
    """Prompts of the equality tests; from 300 on, each with every draft length."""
    count: int = request.config.getoption("--prompts")
    return count


@pytest.fixture
def unmeasured_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that the test starts run at full speed: coverage is not measured in them."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(scope="session", autouse=True)
def _closed_null_files() -> Iterator[None]:
    yield
    # llama_cpp opens these on import and leaves them: warnings, so errors, at the very end.
    if opened := sys.modules.get("llama_cpp._utils"):
        opened.outnull_file.close()
        opened.errnull_file.close()
