"""The command, on models of a few kilobytes."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.options import parse, ways_of
from tests.tiny_gguf import write_tiny_gguf

pytestmark = [pytest.mark.no_cover, pytest.mark.usefixtures("unmeasured_children")]

# As the suite calls them, whoever tells of them.
NAMES = ["editing code", "translation"]
QUICK = ["--tokens", "6", "--repeats", "1", "--prompts", "1", "--threads", "1", "--busy"]


@pytest.fixture
def pair(tmp_path):
    target = write_tiny_gguf(tmp_path / "target.gguf", quantization="F32")
    draft = write_tiny_gguf(tmp_path / "draft.gguf", quantization="F32", noise=0.3)
    return ["--target", str(target), "--draft", str(draft)]


def test_the_pair_is_measured_and_reported_in_four_forms(pair, tmp_path, capsys):
    files = {f"--{form}": tmp_path / f"report.{form}" for form in ("json", "markdown", "html")}
    outputs = [str(part) for item in files.items() for part in item]
    main([*pair, *QUICK, "--categories", *NAMES, *outputs])

    report = json.loads(files["--json"].read_text())
    assert [measured["temperature"] for measured in report["pairs"]] == [0.0, 0.8]
    for measured in report["pairs"]:
        assert (measured["target"], measured["draft"]) == ("target", "draft F32")
        names = [category["name"] for category in measured["categories"]]
        speedups = [category["speedup"] for category in measured["categories"]]
        assert sorted(names) == NAMES
        assert measured["all"]["prompts"] == len(NAMES)
        assert measured["fixed_lengths"] == [5]
        assert speedups == sorted(speedups)
        assert [way["name"] for way in measured["ways"]] == ["adaptive", "model 5", "lookup 5"]
        for way in measured["ways"]:
            assert all(category["same_texts"] == 1 for category in way["categories"])
        assert measured["plain_vs_llama_cpp"] > 0
        assert measured["adaptive_vs_best_fixed"] > 0
        assert sorted(measured["most_without_foresight"]) == NAMES
        assert measured["adaptive_vs_most"] > 0
        assert 0 < measured["controller_share"] < 1
        assert measured["memory_overhead"] >= 0
        assert measured["adaptive_vs_llama_server"] is None
    assert [latency["drafter"] for latency in report["latencies"]] == ["plain", "adaptive"]
    assert report["latencies"][0]["prompt_tokens"] <= 200
    told = capsys.readouterr()
    for name in NAMES:
        assert f"| {name} |" in files["--markdown"].read_text()
        assert f"<td>{name}</td>" in files["--html"].read_text()
        assert f"\n{name} " in told.out
        assert f"\n{name}: " in told.err


def test_questions_can_follow_on_a_long_conversation(pair, tmp_path):
    file = tmp_path / "report.json"
    few = ["--categories", "chat", "--skip", "latency", "upkeep", "--temperatures", "0"]
    deep = ["--depth", "200", "--context", "1024", "--json", str(file)]
    main([*pair, *QUICK, *few, *deep])
    assert json.loads(file.read_text())["pairs"][0]["categories"][0]["same_texts"] == 1


def test_a_conversation_that_does_not_fit_the_model_is_refused(pair):
    deep = ["--depth", "3000", "--context", "8192", "--skip", "latency", "upkeep"]
    with pytest.raises(SystemExit, match=r"too deep: this model takes \d+ tokens"):
        main([*pair, *QUICK, *deep])


def test_the_bare_loop_writes_the_same_text(pair, capsys):
    main(["loop", *pair[:2], "--threads", "1", "--context", "512", "--busy"])
    assert "bookkeeping" in capsys.readouterr().out


def test_a_busy_machine_is_refused_with_its_load(pair, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.watch_load", lambda: 1.5)
    with pytest.raises(SystemExit, match=r"others keep 1\.5 cores at work, more than 0\.3"):
        main(pair)


def test_a_second_run_adds_to_the_figures_of_the_first(pair, tmp_path):
    file = tmp_path / "report.json"
    quick = [*pair, *QUICK, "--categories", "chat", "--skip", "latency", "upkeep", "--update"]
    for temperature in ("0", "0.8"):
        main([*quick, "--json", str(file), "--temperatures", temperature])
    pairs = json.loads(file.read_text())["pairs"]
    assert [measured["temperature"] for measured in pairs] == [0.0, 0.8]
    assert pairs[0]["costs"]["pass_s"][0] > 0


def test_peers_that_were_not_built_are_asked_for(pair, tmp_path):
    missing = ["--peers", "only", "--models-folder", str(tmp_path)]
    with pytest.raises(SystemExit, match="build-llama-server"):
        main([*pair, *QUICK, *missing, "--skip", "latency", "upkeep"])


def test_a_sweep_takes_all_lengths_of_the_draft_beside_adaptive():
    names = [way.name for way in ways_of(parse(["--sweep"], ""))]
    assert names == ["adaptive", *(f"model {length}" for length in range(1, 9))]


def test_the_gate_judges_a_grown_pair_unless_told_which():
    assert parse(["gate"], "").grow == "100m"
    assert parse(["gate", "--target", "mine.gguf"], "").grow is None
    assert parse(["gate", "--draft", "mine.gguf"], "").grow is None
    assert parse([], "").grow is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lengths", "17"], "must be 1 to 16: 17"),
        (["--tokens", "0"], "must be 1 or more: 0"),
        (["--depth", "100"], "--depth needs --prompts"),
        (["--depth", "2000", "--prompts", "1"], "--context must be 2256 at least"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse(arguments, "")
    assert message in capsys.readouterr().err
