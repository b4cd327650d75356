"""The training text is the same for the same seed, split cleanly, and right where it can be."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from models.build.chat import read_conversations
from models.build.corpus import DETERMINED, DOMAINS, ask, write
from models.build.corpus.code import TASKS, Task, edit_code, write_function
from models.build.corpus.facts import FACTS, about_app, phrase
from models.build.corpus.formats import FIELDS, FORMATS, Row, written
from models.build.corpus.numbers import many_sums, one_sum, sort_numbers
from models.build.corpus.text import change_case, copy_items, copy_text, replace_word

SOME = range(200)


def answers(name: str, *, seed: int, heldout: bool = False) -> list[tuple[str, str]]:
    rng = Random(seed)
    turns = [ask(rng, name, heldout=heldout) for _ in SOME]
    return [(turn.question, turn.answer) for turn in turns]


def table_rows(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines()]


def read_pairs(text: str) -> list[Row]:
    return [dict(pair.split("=") for pair in line.split()) for line in text.splitlines()]


def read_json(text: str) -> list[Row]:
    values = json.loads(text)
    rows = values if isinstance(values, list) else [values]
    return [{k: v if isinstance(v, str) else json.dumps(v) for k, v in r.items()} for r in rows]


def read_yaml(text: str) -> list[Row]:
    rows: list[Row] = []
    for line in text.splitlines():
        if line.startswith("- ") or not rows:
            rows.append({})
        key, value = line.removeprefix("- ").strip().split(": ")
        rows[-1][key] = value
    return rows


def read_table(text: str) -> list[Row]:
    header, _, *lines = table_rows(text)
    return [dict(zip(header, line, strict=True)) for line in lines]


READERS: dict[str, Callable[[str], list[Row]]] = {
    "key=value pairs": read_pairs,
    "CSV": lambda text: list(csv.DictReader(io.StringIO(text))),
    "JSON": read_json,
    "YAML": read_yaml,
    "a markdown table": read_table,
}


def unfenced(text: str) -> str:
    return re.sub(r"\A```\w+\n|\n```\Z", "", text)


def test_the_same_seed_writes_the_same_conversations(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, 300, seed=7, heldout=False)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_another_seed_writes_other_conversations(tmp_path: Path) -> None:
    for seed in (7, 8):
        write(tmp_path / str(seed), 300, seed=seed, heldout=False)
    assert (tmp_path / "7").read_bytes() != (tmp_path / "8").read_bytes()


def test_every_conversation_ends_with_an_answer(tmp_path: Path) -> None:
    write(tmp_path / "corpus", 300, seed=3, heldout=False)
    roles = {c[-1]["role"] for c in read_conversations(tmp_path / "corpus")}
    assert roles == {"assistant"}


@pytest.mark.parametrize("name", sorted(DETERMINED))
def test_heldout_questions_of_determined_domains_are_never_trained(name: str) -> None:
    trained = {question for question, _ in answers(name, seed=1)}
    assert trained.isdisjoint(question for question, _ in answers(name, seed=1, heldout=True))


def test_heldout_questions_about_facts_are_never_trained() -> None:
    heldout = {fact.heldout for fact in FACTS}
    rng = Random(2)
    assert heldout.isdisjoint(about_app(rng).question for _ in range(5000))


def test_no_fact_asks_its_heldout_question_in_training() -> None:
    trained = {question for fact in FACTS for question in fact.questions}
    assert trained.isdisjoint(fact.heldout for fact in FACTS)


def test_a_rephrased_question_keeps_its_words() -> None:
    rng = Random(4)
    shown = {phrase(rng, "What is a token?").lower() for _ in SOME}
    assert all("what is a token" in question for question in shown)


@pytest.mark.parametrize("name", list(DOMAINS))
def test_no_answer_is_empty(name: str) -> None:
    assert all(question.strip() and answer.strip() for question, answer in answers(name, seed=5))


@pytest.mark.parametrize("name", list(FORMATS))
def test_converted_records_parse_back(name: str) -> None:
    rng = Random(6)
    for _ in SOME:
        fields = rng.sample(list(FIELDS), 3)
        rows = [{field: FIELDS[field](rng) for field in fields} for _ in range(rng.randint(1, 4))]
        assert READERS[name](unfenced(written(name, rows))) == rows


def test_sums_are_right() -> None:
    rng = Random(7)
    solved = [one_sum(rng).answer for _ in SOME] + [
        line for _ in SOME for line in many_sums(rng).answer.splitlines()
    ]
    words = {"plus": "+", "minus": "-", "times": "*", " is ": " = "}
    for line in solved:
        for word, sign in words.items():
            line = line.replace(word, sign)
        asked, result = line.rstrip(".").split(" = ")
        left, sign, right = asked.split()
        values = {
            "+": int(left) + int(right),
            "-": int(left) - int(right),
            "*": int(left) * int(right),
        }
        assert int(result) == values[sign], line


def test_sorted_numbers_are_those_of_the_question() -> None:
    rng = Random(8)
    for _ in SOME:
        turn = sort_numbers(rng)
        given = [int(n) for n in re.findall(r"\d+", turn.question)]
        ordered = [int(n) for n in re.findall(r"\d+", turn.answer)]
        assert ordered == sorted(given, reverse="descending" in turn.question)


@pytest.mark.parametrize("copy", [copy_text, copy_items])
def test_a_copy_is_the_text_of_the_question(copy: Callable[[Random], tuple[str, ...]]) -> None:
    rng = Random(9)
    for _ in SOME:
        question, answer, *_ = copy(rng)
        words = answer.replace(",", " ").split()
        assert question.replace(",", " ").split()[-len(words) :] == words


def test_a_replaced_word_is_gone() -> None:
    rng = Random(10)
    for _ in SOME:
        turn = replace_word(rng)
        old = re.findall(r'"(\w+)"', turn.question)[0]
        assert not re.search(rf"\b{old}\b", turn.answer)


def test_a_changed_case_has_one_case() -> None:
    rng = Random(11)
    for _ in SOME:
        turn = change_case(rng)
        upper = "upper case" in turn.question
        assert turn.answer.isupper() if upper else turn.answer.islower()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.names[0])
def test_a_written_function_is_valid_python(task: Task) -> None:
    rng = Random(12)
    for _ in range(5):
        function = write_function(rng, task)
        (definition,) = ast.parse(function.source).body
        assert isinstance(definition, ast.FunctionDef)
        assert definition.name == function.name


def test_edited_code_is_valid_python() -> None:
    rng = Random(13)
    for _ in SOME:
        ast.parse(unfenced(edit_code(rng).answer))
