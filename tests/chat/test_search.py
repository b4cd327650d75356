from __future__ import annotations

import pytest

OWNER = "me"


def titles(found):
    return [summary.title for summary in found]


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("rayleigh", True),
        ("scatt sky", True),
        ("RAYL", True),
        ("ayleigh", False),
        ("sky moon", False),
        ("naive", True),
        ("日本", True),
        ("本の", True),
        ("本日", False),
        ("snake_case", True),
    ],
)
def test_a_search_finds_beginnings_of_words_in_questions_and_answers(
    archive, talk, query, is_found
):
    talk(("Why is the sky blue?", "Rayleigh scattering, naïve one: 日本の空 and snake_case."))
    talk(("Something else", "entirely"))
    assert len(archive.list(OWNER, query)) == is_found


@pytest.mark.parametrize(
    "query",
    [
        *('"', "'", "*", "a*", "AND", "NOT blue", "NEAR(a b)", "question:blue", "-blue", "^blue"),
        *("(", "{", "😀", "OR OR", "x" * 5000, "_", "\ud800", "a\0b"),
    ],
)
def test_no_search_is_taken_for_syntax(archive, talk, query):
    talk(("NEAR and NOT blue OR question", "x"))
    assert len(archive.list(OWNER, query)) in (0, 1)


def test_a_search_says_where_it_found_its_words(archive, talk):
    talk(("Q?", f"{'early ' * 40}the needle lies here {'late ' * 40}"))
    talk(("東京はどこ?", "日本の首都です。"))
    assert "needle lies here" in archive.list(OWNER, "needle")[0].snippet
    assert len(archive.list(OWNER, "needle")[0].snippet) < 120
    assert "日本の首都" in archive.list(OWNER, "首都")[0].snippet


def test_a_search_looks_in_titles_and_in_nobody_elses_texts(archive, talk):
    conversation = talk(("apples", "red"))
    talk(("apples", "red"), owner="you")
    archive.rename(conversation.id, "Orchard")
    assert titles(archive.list(OWNER, "orch")) == ["Orchard"]
    assert len(archive.list(OWNER, "apples")) == 1
    assert archive.list("you", "orchard") == []
