from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chat.stand_in import BASELINE, EMBEDDED_ENTRY, Gate, finished, round_of, script
from tests.pages.steps import check, open_page, shown
from utils.chat.race_archive import RaceArchive
from utils.chat.races import RaceBoard
from utils.errors import EngineCrashedError, ModelLoadError
from utils.events import Mode, Started
from utils.prompt_suite import load_suite
from utils.storage.preferences import save_preference
from utils.storage.votes import list_votes

PAGE = "compare.py"


@pytest.fixture(autouse=True)
def races(monkeypatch):
    """A board of its own for each test."""
    board = RaceBoard()
    monkeypatch.setattr("utils.chat.races.get_races", lambda: board)
    return board


@pytest.fixture
def restart(monkeypatch, database):
    """Starts the app anew, and from then on keeps comparisons: what is not on disk is gone."""

    def restart():
        board = RaceBoard(archive=lambda: RaceArchive(database))
        monkeypatch.setattr("utils.chat.races.get_races", lambda: board)
        return board

    return restart


@pytest.fixture
def be(monkeypatch):
    """Makes all pages those of a browser, from their next drawing on."""

    def be(browser_id):
        monkeypatch.setattr("pages.parts.browser.browser_id", lambda: browser_id)

    be("a-browser-of-22-chars-")
    return be


@pytest.fixture
def compare(page):
    return check(page.switch_page(PAGE).run())


def set_runs(page, count):
    page.number_input(key="race_runs").set_value(count)


def start(page, *, runs=1):
    set_runs(page, runs)
    return check(page.button(key="race_start").click().run())


def race_of(page, races):
    return races.find(page.query_params["race"])


def finish(page, races):
    assert race_of(page, races).wait(10)
    return check(page.run())


def gated():
    gate, first = Gate(), round_of(["Half"], drafted=2)
    return gate, [Started(3, 0, 1, BASELINE), first, gate, finished([first])]


def start_held(engine, page):
    """Start a comparison that goes no further until its gate is opened."""
    gate, steps = gated()
    engine.client.scripts.append(steps)
    page = start(check(page.switch_page(PAGE).run()))
    assert gate.reached.wait(10)
    return check(page.run()), gate


def said(page):
    """All that is told of the comparison, as it reads."""
    boxes = (*page.success, *page.info, *page.warning, *page.error)
    text = "\n".join([shown(page), *(box.value for box in boxes)])
    headings = "\n".join(heading.value for heading in page.subheader)
    return f"{text}\n{headings}".replace("\\", "").replace("\u2060", "")


def test_standard_and_speculative_are_compared_unless_something_else_is_chosen(
    engine, compare, races
):
    page = finish(start(compare, runs=2), races)
    modes = [asked["speculative"].enabled for asked in engine.client.asked]
    assert modes == [False, True, True, False]
    assert "A: Standard" in said(page)
    assert "B: Speculative" in said(page)
    assert "Identical: all 4 runs wrote the same 3 tokens." in said(page)


def test_what_is_set_reaches_both_sides(engine, compare, races):
    compare.text_area(key="race_own").set_value("Count.")
    compare.number_input(key="race_temperature").set_value(0.0)
    compare.number_input(key="race_seed").set_value(42)
    compare.number_input(key="race_max_tokens").set_value(64)
    finish(start(compare), races)
    for asked in engine.client.asked:
        sampling = asked["sampling"]
        assert asked["messages"][-1].content == "Count."
        assert (sampling.temperature, sampling.seed, sampling.max_tokens) == (0.0, 42, 64)


def test_each_side_has_a_draft_a_length_and_a_verifier_of_its_own(engine, compare, races):
    check(compare.button_group(key="race_a_arm").set_value("speculative").run())
    check(compare.button_group(key="race_a_draft_length").set_value("fixed").run())
    compare.slider(key="race_a_max_draft_tokens").set_value(3)
    compare.selectbox(key="race_b_verifier").select("block")
    compare.selectbox(key="race_b_draft_model").select("lookup")
    page = finish(start(compare), races)
    a, b = (asked["speculative"] for asked in engine.client.asked)
    assert (a.draft_length, a.max_draft_tokens, a.verifier) == ("fixed", 3, "coupled")
    assert (b.draft_length, b.draft_model, b.verifier) == ("adaptive", "lookup", "block")
    assert "A: Speculative · 3 tokens a round" in said(page)


def test_ollama_can_be_a_side_where_it_has_the_model(engine, compare, races):
    assert "ollama" not in compare.button_group(key="race_a_arm").options
    model = replace(EMBEDDED_ENTRY, name="llama:3b", source="ollama", is_in_ollama=True)
    engine.catalogue.show(model)
    check(compare.run())
    check(compare.selectbox(key="setting_model").select("llama:3b").run())
    check(compare.button_group(key="race_a_arm").set_value("ollama").run())
    finish(start(compare), races)
    chosen = [(asked["model"].name, asked["model"].backend) for asked in engine.client.asked]
    assert chosen == [("llama:3b", "ollama"), ("llama:3b", "auto")]


def test_a_prompt_of_the_suite_can_be_chosen_with_all_its_turns(engine, compare, races):
    check(compare.selectbox(key="race_source").select("multi-turn").run())
    check(compare.selectbox(key="race_prompt_multi-turn").select(1).run())
    finish(start(compare), races)
    messages = engine.client.asked[0]["messages"]
    turns = load_suite()["multi-turn"][1]
    assert tuple(message.content for message in messages) == turns
    assert [message.role for message in messages[:2]] == ["user", "assistant"]


def test_an_empty_prompt_is_refused_with_a_sentence(engine, compare):
    compare.text_area(key="race_own").set_value("  ")
    page = start(compare)
    told = page.toast[0].value.replace("\\", "").replace("\u2060", "")
    assert told == "The prompt is empty: type one, or take one of the suite."
    assert engine.client.asked == []


def test_a_running_comparison_shows_text_and_bars_and_can_be_stopped(engine, compare, races):
    gate, steps = gated()
    engine.client.scripts.append(steps)
    page = start(compare, runs=2)
    assert gate.reached.wait(10)
    check(page.run())
    assert "Half" in said(page)
    assert "Run 1 of 4: A writes" in said(page)
    assert len(page.get("progress")) == 2
    assert page.button(key="race_start").disabled
    check(page.button(key="race_stop").click().run())
    finish(page, races)
    gate.opened.set()
    assert "Stopped after 1 of 4 runs" in said(page)
    assert not page.button(key="race_start").disabled


def test_a_comparison_outlives_a_page_switch_and_a_reload(engine, compare, races):
    gate, steps = gated()
    engine.client.scripts.append(steps)
    page = start(compare)
    address = page.query_params["race"]
    assert gate.reached.wait(10)
    check(page.switch_page("chat.py").run())
    check(page.switch_page(PAGE).run())
    assert "Half" in said(page)

    reloaded = open_page(race=address).switch_page(PAGE)
    reloaded.query_params["race"] = address
    assert "Half" in said(check(reloaded.run()))
    gate.opened.set()
    assert "All 2 of 2 runs" in said(finish(page, races))


def test_another_visitor_sees_nothing_of_it(compare, races):
    finish(start(compare), races)
    other = check(open_page().switch_page(PAGE).run())
    assert "race" not in other.query_params
    assert not other.get("progress")


def visit(address=None):
    """Open the page in another tab, by an address where one is given."""
    page = open_page().switch_page(PAGE)
    if address is not None:
        page.query_params["race"] = address
    return check(page.run())


def compare_once(page, question, races):
    page.text_area(key="race_own").set_value(question)
    return finish(start(page), races)


def test_comparisons_are_there_after_a_restart_and_opened_by_a_click(be, page, restart):
    races = restart()
    page = check(page.switch_page(PAGE).run())
    first = race_of(compare_once(page, "Of bears?", races), races).id
    compare_once(page, "Of owls?", races)
    restart()
    page = visit()
    choice = page.selectbox(key="race_earlier")
    assert "Of owls?" in choice.options[0]
    assert "Of bears? · Standard" in choice.options[1]
    assert "tokens/s" in choice.options[1]
    assert "All 2 of 2 runs" in said(page)
    assert page.query_params["race"] != first

    check(choice.select(first).run())
    assert page.query_params["race"] == first
    assert "Of bears?" in [text.value for text in page.text]
    assert "Identical" in said(page)
    assert page.get("plotly_chart")


def test_an_address_opens_a_comparison_after_a_restart(be, page, restart):
    races = restart()
    page = compare_once(check(page.switch_page(PAGE).run()), "Of bears?", races)
    address = page.query_params["race"]
    restart()
    assert "All 2 of 2 runs" in said(visit(address))


def test_the_label_of_before_that_a_browser_sends_on_is_no_choice(
    be, engine, page, restart, monkeypatch
):
    races = restart()
    page, gate = start_held(engine, page)
    (before,) = page.selectbox(key="race_earlier").options
    gate.opened.set()
    page = finish(page, races)
    choice = page.selectbox(key="race_earlier")
    assert choice.options != [before]

    choice.options = [before]
    monkeypatch.setattr(type(choice), "index", 0)
    check(page.run())
    assert not page.toast
    assert "All 2 of 2 runs" in said(page)


def test_a_comparison_that_was_deleted_in_another_window_is_told_of(be, page, restart):
    races = restart()
    page = check(page.switch_page(PAGE).run())
    first = race_of(compare_once(page, "Of bears?", races), races)
    compare_once(page, "Of owls?", races)
    races.delete(first.id, first.request.owner)
    check(page.selectbox(key="race_earlier").select(first.id).run())
    assert "it was deleted in another window" in page.toast[0].value


def test_a_comparison_that_the_end_of_the_app_cut_off_is_shown_as_stopped(
    be, engine, page, restart
):
    restart()
    gate, steps = gated()
    engine.client.scripts += [script(["one"]), steps]
    page = start(check(page.switch_page(PAGE).run()))
    assert gate.reached.wait(10)
    restart()
    page = visit(page.query_params["race"])
    assert "Stopped after 1 of 2 runs" in said(page)
    assert "The app ended while this comparison ran" in said(page)
    assert page.button(key="race_stop").disabled
    assert not page.button(key="race_start").disabled
    gate.opened.set()


def test_a_comparison_is_deleted_and_brought_back(be, page, restart):
    races = restart()
    page = compare_once(check(page.switch_page(PAGE).run()), "Of bears?", races)
    address = page.query_params["race"]
    check(page.button(key="race_delete").click().run())
    assert "race" not in page.query_params
    assert "Deleted: Of bears?" in said(page)
    assert not [box for box in page.selectbox if box.key == "race_earlier"]

    check(page.button(key="race_undo").click().run())
    assert page.query_params["race"] == address
    assert "All 2 of 2 runs" in said(page)
    assert "Deleted" not in said(page)


def test_a_running_comparison_cannot_be_deleted(be, engine, page, restart):
    races = restart()
    page, gate = start_held(engine, page)
    assert page.button(key="race_delete").disabled
    gate.opened.set()
    assert not finish(page, races).button(key="race_delete").disabled


def test_the_list_tells_nothing_of_a_blind_comparison_before_the_vote(be, page, restart):
    races = restart()
    page = check(page.switch_page(PAGE).run())
    check(page.toggle(key="race_blind").set_value(True).run())
    page = finish(start(page), races)
    (line,) = page.selectbox(key="race_earlier").options
    assert line.endswith("blind, not voted on yet")
    check(page.button(key="vote_a").click().run())
    (line,) = page.selectbox(key="race_earlier").options
    assert "Standard" in line
    restart()
    assert "You preferred A." in said(visit())


def test_comparisons_that_cannot_be_kept_are_told_of(be, page, restart, database):
    races = restart()
    page = check(page.switch_page(PAGE).run())
    page.text_area(key="race_own").set_value("Of bears?")
    database.close()
    page = finish(start(page), races)
    assert "Comparisons are not kept at present" in said(page)
    assert "All 2 of 2 runs" in said(page)


def test_another_browser_looks_at_a_comparison_and_does_not_stop_it(be, engine, compare, races):
    gate, steps = gated()
    engine.client.scripts.append(steps)
    page = start(compare)
    assert gate.reached.wait(10)
    be("another-of-22-characters")
    guest = visit(page.query_params["race"])
    assert "Half" in said(guest)
    assert "belongs to another browser" in said(guest)
    assert guest.button(key="race_stop").disabled
    assert not guest.button(key="race_start").disabled

    # A page of before still has the button.
    check(page.button(key="race_stop").click().run())
    assert race_of(page, races).snapshot().is_active
    gate.opened.set()
    assert "All 2 of 2 runs" in said(finish(guest, races))


def test_another_browser_does_not_vote_and_sees_the_vote(be, page, restart, database):
    races = restart()
    page = check(page.switch_page(PAGE).run())
    check(page.toggle(key="race_blind").set_value(True).run())
    page = finish(start(page), races)
    be("another-of-22-characters")
    guest = visit(page.query_params["race"])
    keys = [str(button.key) for button in guest.button]
    assert not any(key.startswith("vote_") for key in keys)
    assert "race_delete" not in keys
    assert "once the browser that began this has voted" in said(guest)

    check(page.button(key="vote_b").click().run())
    assert list_votes(database) == []
    assert "belongs to another browser" in page.toast[0].value

    be("a-browser-of-22-chars-")
    check(page.run())
    check(page.button(key="vote_b").click().run())
    be("another-of-22-characters")
    assert "Its reader preferred B." in said(check(guest.run()))


def test_what_was_compared_is_set_again_on_the_next_visit(browser, compare, races):
    compare.text_area(key="race_own").set_value("Count.")
    compare.number_input(key="race_temperature").set_value(0.3)
    check(compare.button_group(key="race_b_arm").set_value("standard").run())
    finish(start(compare), races)
    again = check(open_page().switch_page(PAGE).run())
    assert again.text_area(key="race_own").value == "Count."
    assert again.number_input(key="race_temperature").value == 0.3
    assert again.button_group(key="race_b_arm").value == "standard"


def test_values_that_are_offered_no_more_are_not_set_again(browser, page, database):
    owner = "a-browser-of-22-chars-"
    wrong = {"source": "cooking", "temperature": 9.0, "runs": "many", "a_verifier": "oracle"}
    save_preference(database, owner, "comparison", {**wrong, "seed": 5, "prompt_code": 99})
    again = check(page.switch_page(PAGE).run())
    assert again.selectbox(key="race_source").value == "your own"
    assert again.number_input(key="race_temperature").value == 0.8
    assert again.number_input(key="race_runs").value == 4
    assert again.number_input(key="race_seed").value == 5


def test_texts_that_part_are_told_with_tokens_and_logits(engine, compare, races):
    engine.client.scripts += [parting("a", 5), parting("b", 6)]
    engine.client.pieces = {5: " a", 6: " b"}
    page = finish(start(compare), races)
    assert "The texts part at token 2: A wrote “␣a”, B wrote “␣b”." in said(page)
    assert "a gap of 0.250" in said(page)
    assert "Identical" not in said(page)


def test_texts_that_need_not_match_part_without_a_warning(engine, compare, races):
    engine.client.scripts[:] = [parting("a", 11), parting("b", 12)]
    compare.number_input(key="race_temperature").set_value(0.8)
    compare.selectbox(key="race_b_verifier").select("block")
    page = finish(start(compare), races)
    assert "That is to be expected: block verification keeps the distribution" in said(page)
    assert not page.warning


def parting(word, token_id):
    first, second = round_of(["I"], drafted=0), round_of([f" {word}"], drafted=0)
    second = replace(second, tokens=(replace(second.tokens[0], token_id=token_id),))
    return [Started(3, 0, 1, BASELINE), first, second, finished([first, second])]


def test_a_blind_comparison_tells_nothing_before_the_vote(compare, races, database):
    check(compare.toggle(key="race_blind").set_value(True).run())
    page = finish(start(compare, runs=3), races)
    assert [heading.value for heading in page.subheader] == ["A", "B"]
    for secret in ("tokens/s", "Standard", "Speculative", "demo-draft", "Identical"):
        assert secret not in told_of_race(page)
    assert not page.get("plotly_chart")
    assert not page.get("progress")

    check(page.button(key="vote_b").click().run())
    assert "You preferred B. It was A: " in said(page)
    assert "Identical" in said(page)
    (vote,) = list_votes(database)
    race = race_of(page, races).snapshot()
    assert (vote.choice, vote.preferred) == ("b", race.request.b.arm)
    assert {vote.arm_a, vote.arm_b} == {"standard", "speculative"}


def told_of_race(page):
    return said(page).split("All ")[-1].split("One prompt")[0]


def test_who_is_a_is_drawn_by_lot_in_a_blind_comparison(engine, compare, races, monkeypatch):
    check(compare.toggle(key="race_blind").set_value(True).run())
    for chance, first in ((0.1, "speculative"), (0.9, "standard")):
        monkeypatch.setattr("random.SystemRandom.random", lambda _self, chance=chance: chance)
        page = finish(start(compare), races)
        assert race_of(page, races).request.a.arm == first


def test_an_answer_that_fails_is_told_in_a_sentence(engine, compare, races):
    engine.client.scripts.append([EngineCrashedError("the engine died: ask again")])
    page = finish(start(compare), races)
    assert "The engine died: ask again." in said(page)
    assert "Failed after 1 of 2 runs" in said(page)


def test_a_side_of_which_no_run_counts_shows_no_speed(engine, compare, races):
    lost = [*script(["one"])]
    lost.insert(-1, Mode("standard", None, "the draft broke"))
    engine.client.scripts += [script(["one"]), lost]
    page = finish(start(compare), races)
    bars = [bar.proto.text for bar in page.get("progress")]
    assert bars[0].endswith("tokens/s")
    assert bars[1].endswith("Speculative · no run counts")
    assert "it is left out of the comparison: the draft broke." in said(page)
    assert "No verdict" in said(page)
    assert "saved as PNG" not in said(page)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_texts_of_the_engine_and_ollama_are_compared_at_temperature_0_alone(
    engine, compare, races, temperature
):
    model = replace(EMBEDDED_ENTRY, name="llama:3b", source="ollama", is_in_ollama=True)
    engine.catalogue.show(model)
    check(compare.run())
    check(compare.selectbox(key="setting_model").select("llama:3b").run())
    check(compare.number_input(key="race_temperature").set_value(temperature).run())
    assert "random numbers of their own" not in said(compare)
    check(compare.button_group(key="race_a_arm").set_value("ollama").run())
    is_hot = temperature > 0
    assert ("random numbers of their own" in said(compare)) is is_hot
    a, b = parting("a", 5), parting("b", 6)
    a.insert(1, Mode("standard", None, "it was chosen", writer="Ollama (llama:3b)"))
    engine.client.scripts += [a, b]
    page = finish(start(compare), races)
    assert ("The texts are not compared" in said(page)) is is_hot
    assert ("The texts part at" in said(page)) is not is_hot
    assert len(page.warning) == (0 if is_hot else 1)


def test_no_text_of_a_model_is_drawn_as_html(engine, compare, races):
    text = "<script>x</script> ![i](http://evil.example/i.png)"
    engine.client.scripts += [script([text]), script([text])]
    page = finish(start(compare), races)
    assert not any(element.allow_html for element in (*page.markdown, *page.caption))
    assert "![" not in shown(page)


def test_there_are_charts_and_files_when_it_is_over(compare, races):
    page = finish(start(compare, runs=3), races)
    assert len(page.get("plotly_chart")) == 2
    assert "saved as PNG" in said(page)
    assert [button.label for button in page.get("download_button")] == ["Markdown", "JSON"]


def test_a_model_that_the_engine_cannot_use_is_told_before(engine, page):
    odd = replace(EMBEDDED_ENTRY, name="odd:1b", source="ollama", fitness="unusable", reason="odd")
    engine.catalogue.show(odd)
    page = check(page.switch_page(PAGE).run())
    check(page.selectbox(key="setting_model").select("odd:1b").run())
    assert "nothing to compare: odd." in said(page)


def test_how_far_a_model_is_loaded_is_shown_and_why_it_is_not(engine, compare):
    big = replace(EMBEDDED_ENTRY, name="big", source="folder")
    engine.catalogue.show(big)
    check(compare.run())
    gate = Gate()
    engine.client.load_steps = [gate, ModelLoadError("too large: choose a smaller one")]
    ready = engine.client.health
    engine.client.health = replace(ready, state="loading", stage="loading", stage_share=0.34)
    check(compare.selectbox(key="setting_model").select("big").run())
    (bar,) = compare.get("progress")
    assert "loading, 34%" in bar.proto.text
    assert bar.proto.value == 34

    engine.client.health = ready
    gate.opened.set()
    while compare.session_state["target_loader"].state.is_running:
        engine.call(engine.catalogue.refresh()).result(5)
    check(compare.run())
    assert not compare.get("progress")
    assert "Too large: choose a smaller one." in said(compare)


def test_a_run_that_waits_for_its_model_says_how_far_that_is(engine, compare, races):
    gate = Gate()
    engine.client.scripts.append([gate])
    page = start(compare)
    assert gate.reached.wait(10)
    ready = engine.client.health
    engine.client.health = replace(ready, state="loading", stage="loading", stage_share=0.34)
    check(page.run())
    assert "Run 1 of 2: A. The model first: loading, 34%" in said(page)
    engine.client.health = ready
    gate.opened.set()
    finish(page, races)


def test_a_thought_that_was_opened_stays_open_when_it_ends(engine, compare, races):
    gate, first = Gate(), round_of(["<think>\nHm"], drafted=0)
    rest = round_of([".\n</think>\n\n", "Yes."], drafted=0)
    steps = [Started(3, 0, 1, BASELINE), first, gate, rest, finished([first, rest])]
    engine.client.scripts.append(steps)
    page = start(compare)
    assert gate.reached.wait(10)
    page.session_state[f"thought_a_{race_of(page, races).id}"] = True
    check(page.run())
    before = [fold.label for fold in page.expander if fold.label.startswith("Thought")]
    assert "Hm" in shown(page)

    gate.opened.set()
    finish(page, races)
    assert "Yes." in shown(page)
    assert "Hm." in shown(page)
    after = [fold.label for fold in page.expander if fold.label.startswith("Thought")]
    assert after == before == ["Thought"]
