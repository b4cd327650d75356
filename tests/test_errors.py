"""The error tree: as drawn, as coded, and across a wire."""

from __future__ import annotations

import re

import pytest

from utils import errors
from utils.errors import BY_CODE, SpecChatError, from_code


def _drawn_parents() -> dict[str, str]:
    """Read child -> parent from the drawing in the module's docstring."""
    parents: dict[str, str] = {}
    path = ["SpecChatError"]
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([│ ]*)[├└]── (\w+)", line):
            depth = len(found[1]) // 4 + 1
            parents[found[2]] = path[depth - 1]
            path[depth:] = [found[2]]
    return parents


def _coded_parents() -> dict[str, str]:
    return {
        cls.__name__: cls.__bases__[0].__name__
        for cls in BY_CODE.values()
        if cls is not SpecChatError
    }


def test_the_drawing_shows_every_class_under_its_parent():
    assert _drawn_parents() == _coded_parents()


def test_every_error_class_of_the_module_has_a_code_of_its_own():
    classes = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, SpecChatError)
    }
    assert set(BY_CODE.values()) == classes
    assert len({cls.code for cls in classes}) == len(classes)


@pytest.mark.parametrize("cls", BY_CODE.values(), ids=lambda cls: cls.__name__)
def test_an_error_comes_back_from_its_code_as_it_was(cls):
    found = from_code(cls.code, "what is wrong: 3")
    assert type(found) is cls
    assert str(found) == "what is wrong: 3"


def test_an_unknown_code_still_gives_an_error_of_ours():
    assert type(from_code("from the future", "x")) is SpecChatError
