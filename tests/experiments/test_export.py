from __future__ import annotations

import csv
import io

import pytest

from tests.experiments.simulated import outcome
from utils.experiments.export import COLUMNS, to_csv


def rows(*outcomes):
    return list(csv.DictReader(io.StringIO(to_csv(outcomes))))


def test_every_answer_is_a_line_with_all_its_figures():
    first, second = rows(outcome("a", thumb=True, speed=4), outcome("b", fell_back=True))
    assert tuple(first) == COLUMNS
    assert first["ended_at"] == "1970-01-01T00:16:40+00:00"
    assert (first["thumb"], first["speed"], first["fell_back"]) == ("1", "4", "0")
    assert (second["thumb"], second["speed"], second["fell_back"]) == ("", "", "1")
    assert (first["tokens"], first["tokens_per_second"]) == ("40", "50")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_taken_for_a_formula(start):
    name = f'{start}HYPERLINK("http://evil.example")'
    (row,) = rows(outcome(model=name))
    assert row["model"] == f"'{name}"


def test_a_name_with_commas_and_quotes_stays_one_cell():
    (row,) = rows(outcome(model='a,"b"\nc'))
    assert row["model"] == 'a,"b"\nc'


def test_without_answers_there_is_a_head():
    assert to_csv([]).strip() == ",".join(COLUMNS)
