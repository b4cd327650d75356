from __future__ import annotations

import pytest

from utils.chat.markdown import WORD_JOINER, literal, open_fence, safe_markdown

J = WORD_JOINER


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ("<img src=x onerror=y>", "&lt;img src=x onerror=y>"),
        ("<!-- hidden -->", "&lt;!-- hidden -->"),
        ("![x](http://evil.example/a.png)", "[x](http://evil.example/a.png)"),
        ("![x][ref]\n\n[ref]: http://evil.example", "[x][ref]\n\n[ref]: http://evil.example"),
        ("!![x](http://evil.example)", "[x](http://evil.example)"),
        (":red[alarm]", f":{J}red[alarm]"),
        (":größe[1]", f":{J}größe[1]"),
        ("color:red; size:small", f"color:{J}red; size:{J}small"),
        ("a:green-badge, b:grey_x", f"a:{J}green-badge, b:grey_x"),
        (":material/home:", f":{J}material/home:"),
        (":tada: :+1:", f":{J}tada: :{J}+1:"),
        ("::leaf and :::container", f":{J}:leaf and :{J}:{J}:container"),
        ("```mermaid\ngraph TD\n```", "```text\ngraph TD\n```"),
        ("~~~ Mermaid\ngraph\n~~~", "~~~text\ngraph\n~~~"),
    ],
)
def test_what_the_renderer_would_act_on_is_disarmed(text, safe):
    assert safe_markdown(text) == safe


@pytest.mark.parametrize(
    "text",
    [
        "Plain text, 1 < 2, a: b, 10:30, [link](http://a.example), **bold**!",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "Mass and energy: $E = mc^2$ and $$\\sum_i x_i$$",
        "```python\nx = vec![1](2) if a<b else ':red[x]'\n```\n",
        "Use `List<int>` and ``a ` <b>`` and `![x](y)`.",
        "- list\n  ```rust\n  vec![1]\n  ```\n- next",
        "1. ```md\n   ![x](y)\n   ```\n> ```\n> ![x](y)\n> ```",
        "  ```md\n![x](y)\n  ```",
        "`![x](y)` and `` ` `` and `vec![1]`",
        "~~~\n<b>\n~~~",
        "",
    ],
)
def test_ordinary_text_and_code_stay_as_they_are(text):
    assert safe_markdown(text) == text


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("```python\nx = 1", "```python\nx = 1\n```"),
        ("````\n```\n", "````\n```\n\n````"),
        ("text\n~~~\ncode", "text\n~~~\ncode\n~~~"),
    ],
)
def test_code_that_is_still_being_written_is_closed(text, closed):
    assert safe_markdown(text) == closed


def test_text_after_a_code_block_is_disarmed_again():
    text = "- ```\n  code\n  ```\n\n![x](http://evil.example)"
    assert "![" not in safe_markdown(text)


def test_a_code_span_does_not_reach_over_an_empty_line():
    assert "![" not in safe_markdown("a ` b\n\n![x](http://evil.example) ` c")


@pytest.mark.parametrize(
    "text",
    [
        "\\`![x](http://evil.example)`",
        "\\``![x](http://evil.example)``",
        "# `a\n![x](http://evil.example)`",
        "- `a\n- ![x][ref]`",
        "`a\nb` ![x](http://evil.example) `c`",
        "| `a | ![x](http://evil.example)` |\n|---|---|",
        "> ```\n![x](http://evil.example)",
        "- ```\n![x](http://evil.example)",
        "1. ~~~\n\n ![x](http://evil.example)",
    ],
)
def test_no_image_hides_in_what_only_looks_like_code(text):
    assert "![" not in safe_markdown(text)


def test_carriage_returns_do_not_hide_a_fence():
    assert "![" not in safe_markdown("```\rcode\r```\r![x](http://evil.example)")


@pytest.mark.parametrize("cut", range(1, 60))
def test_every_beginning_of_an_answer_is_safe(cut):
    text = "Hi ![x](http://e.example)\n```py\nif a:\n```\n:red[a] <b> ![y](http://e.example)"
    assert "![" not in safe_markdown(text[:cut])


def test_a_literal_shows_every_character_as_it_is():
    assert literal("a *b* [c](d) `e` <f>") == r"a \*b\* \[c\]\(d\) \`e\` \<f\>"
    assert literal("1: :red[x]") == f"1: :{J}red\\[x\\]"
    assert literal(":+1: :my_x:") == f":{J}\\+1: :{J}my\\_x:"
    assert literal("http://a") == f"http:{J}//a"
    assert literal("two\nlines") == "two lines"


def test_a_name_can_be_copied_from_where_it_is_told():
    assert literal("has llama:3b loaded: ask, or pull it") == "has llama:3b loaded: ask, or pull it"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("So:\n```python\na = 1\n", "```python\n"),
        ("~~~\n```\n", "~~~\n"),
        ("```\na\n```\n", ""),
        ("a `b` ```c``` d", ""),
        ("", ""),
    ],
)
def test_code_that_a_text_ends_in_is_found(text, line):
    assert open_fence(text) == line
