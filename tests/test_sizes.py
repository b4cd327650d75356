from __future__ import annotations

import pytest

from utils.sizes import size


@pytest.mark.parametrize(
    ("count_bytes", "text"),
    [(0, "0 kB"), (69_900, "70 kB"), (22_762_112, "23 MB"), (8.59e9, "8.6 GB")],
)
def test_a_size_is_told_in_steps_of_a_thousand(count_bytes, text):
    assert size(count_bytes) == text
