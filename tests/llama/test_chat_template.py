"""Chat templates of strangers: what models use works, what attacks use is refused in time."""

from __future__ import annotations

import threading
import tracemalloc
from time import thread_time

import pytest

from utils.errors import TemplateError
from utils.llama.chat_template import CHATML, PLAIN, TIME_LIMIT_S, ChatTemplate

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
]


def render(source: str, turns=TURNS, **options) -> str:
    return ChatTemplate(source).render(turns, "<s>", "</s>", **options)


def test_chatml_is_written_as_models_were_trained():
    assert render(CHATML, TURNS[1:2]) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert render(CHATML, TURNS[1:2], add_generation_prompt=False).endswith("<|im_end|>\n")


def test_plain_text_names_who_speaks():
    assert render(PLAIN, TURNS[1:2]) == "User: Hi\n\nAssistant:"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ bos_token }}{{ messages[0]['content'] | trim }}{{ eos_token }}", "<s>Be brief.</s>"),
        ("{% for m in messages[1:] %}{{ loop.index0 ~ m.role[0] }}{% endfor %}", "0u1a2u"),
        ("{% for m in messages %}{% if loop.last %}{{ m.content }}{% endif %}{% endfor %}", "Bye"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
         "{% endfor %}{{ ns.n }}", "4"),
        ("{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}x{% endfor %}", "x"),
        ("{% for m in messages %}{% if m.role == 'user' %}{% continue %}{% endif %}x{% endfor %}",
         "xx"),
        ("{% generation %}kept{% endgeneration %}", "kept"),
        ("{{ {'b': 1, 'a': 'é'} | tojson }}", '{"b": 1, "a": "é"}'),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "2"),
        ("{{ messages | map(attribute='role') | join(',') }}", "system,user,assistant,user"),
        ("{{ 'a' if tools is none else 'b' }}{{ enable_thinking is defined }}", "aFalse"),
        ("{{ messages[-1].content.split('y')[0] + 'e'.upper() }}", "BE"),
        ("{{ '%s-%s' % ('a', 1) }}{{ 'x' * 3 }}{{ 7 % 4 }}{{ 2 ** 5 }}", "a-1xxx332"),
        ("{% macro turn(m) %}[{{ m.role }}]{% endmacro %}{{ turn(messages[0]) }}", "[system]"),
        ("{% set a, b = 1, 2 %}{{ a + b }}", "3"),
        ("{{ messages | attr('__class__') }}{{ ''.__class__ }}", ""),
        ("{% for a, b in {'x': 1}.items() %}{{ a }}{{ b }}{% endfor %}", "x1"),
        ("{{ strftime_now('%Y') | length }}", "4"),
        ("{% if 'user' in ['user', 'tool'] %}yes{% endif %}", "yes"),
        ("  {% if true %}\n  a\n  {% endif %}\nb", "  a\nb"),
        ("{{ range(3) | list }}", "[0, 1, 2]"),
        ("{{ 'a b' | replace(' ', '_') | title }}{{ ['b', 'a'] | sort | first }}", "A_ba"),
        ("{{ 'l1\nl2' | indent(2) }}", "l1\n  l2"),
        ("{{ 'x'.join(['a', 'b']) }}{{ 'a\tb'.expandtabs(4) }}{{ 'aa'.replace('a', 'b') }}",
         "axba   bbb"),
    ],
)  # fmt: skip
def test_what_templates_of_models_use_works(source, text):
    assert render(source) == text


def test_a_template_says_why_it_refuses():
    with pytest.raises(TemplateError, match="fails: roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}")


ATTACKS = {
    "endless loop": "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "loops in loops": "{% for i in [1,2,3,4,5,6,7,8,9] %}" * 18 + "{% endfor %}" * 18,
    "loops over a variable": "{% set x = [1,2,3,4,5,6,7,8,9] %}"
    + "{% for i in x %}" * 18 + "{% endfor %}" * 18,
    "long range": "{% for i in range(99999) %}{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "recursive loop": "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "long text": "{{ 'a' * 10**9 }}",
    "long list": "{{ [1] * 10**9 }}",
    "large number": "{{ 9 ** (9 ** 9) }}",
    "large product": "{% set ns = namespace(x=9**999) %}{% for i in range(60) %}"
    "{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "wide format": "{{ '%999999999d' % 1 }}",
    "wide format filter": "{{ '%*d' | format(999999999, 1) }}",
    "str.format": "{{ '{:>999999999}'.format(1) }}",
    "str.format_map": "{{ '{x:>999999999}'.format_map({'x': 1}) }}",
    "wide text": "{{ 'a'.ljust(999999999) }}",
    "wide tabs": "{{ ('\t' * 999).expandtabs(9999) }}",
    "bytes of a number": "{{ (255).to_bytes(999999999, 'big') }}",
    "doubled text": "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}"
    "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "added text": "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}"
    "{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "doubled list": "{% set ns = namespace(x=['a']) %}{% for i in range(60) %}"
    "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "doubled tuple": "{% set ns = namespace(x=('a',)) %}{% for i in range(60) %}"
    "{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ ns.x == ns.x }}",
    "doubled dict": "{% set ns = namespace(x={}) %}{% for i in range(60) %}"
    "{% set ns.x = dict(a=ns.x, b=ns.x) %}{% endfor %}{{ ns.x | tojson }}",
    "doubled namespace": "{% set ns = namespace(x=0) %}{% for i in range(60) %}"
    "{% set ns.x = namespace(a=ns.x, b=ns.x) %}{% endfor %}{{ ns.x }}",
    "replaced text": "{% set ns = namespace(x='a') %}{% for i in range(60) %}"
    "{% set ns.x = ns.x.replace('a', 'aaaaaaaaaa') %}{% endfor %}",
    "replaced by filter": "{% set ns = namespace(x='a') %}{% for i in range(60) %}"
    "{% set ns.x = ns.x | replace('a', 'aaaaaaaaaa') %}{% endfor %}",
    "joined text": "{{ ('x' * 9999).join(['a'] * 9999) }}",
    "joined generator": "{{ 'x'.join(messages | map('string')) }}",
    "joined by filter": "{{ ['a'] * 9999 | join('x' * 9999) }}",
    "huge join": "{{ range(9999) | join('x' * 9999) }}",
    "huge indent": "{{ ('\n' * 9999) | indent(9999) }}",
    "huge json indent": "{{ [[1]] | tojson(indent=9999) }}",
    "huge filter number": "{{ 'a' | truncate(99999999) }}",
    "captured text": "{% set x %}{% for i in range(9999) %}{{ 'a' * 9999 }}{% endfor %}"
    "{% endset %}",
    "replaced by name": "{{ ('a' * 9999) | replace(new='b' * 9999, old='a') }}",
    "captured constant": "{% set x %}{% for i in range(9999) %}" + "a" * 60000
    + "{% endfor %}{% endset %}",
    "long output": "{% for i in range(9999) %}{{ 'a' * 99 }}{% endfor %}",
    "class of a text": "{{ ''.__class__.__mro__ }}",
    "class by filter": "{{ (messages | attr('__class__')).__name__ }}",
    "own globals": "{{ raise_exception.__globals__['re'] }}",
    "changed messages": "{{ messages.append(1) }}",
    "a type": "{{ namespace }}",
    "lipsum": "{{ lipsum(9999) }}",
    "another file": "{% include '/etc/passwd' %}",
    "odd date": "{{ strftime_now('%99999999d') }}",
    "division": "{{ 1 / 0 }}",
    "syntax": "{% if %}",
    "unknown filter": "{{ 'a' | center(999999999) }}",
    "deep nesting": "{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}",
    "too long": "a" * (64 * 2**10 + 1),
}  # fmt: skip


@pytest.mark.parametrize("source", ATTACKS.values(), ids=[*ATTACKS])
def test_attacks_end_soon_and_in_little_memory(source):
    tracemalloc.start()
    begin = thread_time()
    with pytest.raises(TemplateError) as caught:
        render(source)
    assert thread_time() - begin < TIME_LIMIT_S + 4
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20
    assert "\n" not in str(caught.value)


def test_the_time_limit_holds_on_any_thread():
    raised: list[TemplateError] = []

    def run() -> None:
        try:
            render(ATTACKS["loops in loops"])
        except TemplateError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(TIME_LIMIT_S + 5)
    assert "takes too long" in str(raised[0])


def test_a_template_can_be_rendered_again_after_it_failed():
    template = ChatTemplate("{{ messages[0].content * 9999 }}")
    with pytest.raises(TemplateError):
        template.render([{"role": "user", "content": "x" * 999}], "", "")
    assert template.render([{"role": "user", "content": "x"}], "", "") == "x" * 9999


def test_long_conversations_may_be_long():
    turns = [{"role": "user", "content": "x" * 400_000}]
    assert len(render(CHATML, turns)) > 400_000
