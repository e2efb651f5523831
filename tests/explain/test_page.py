"""The explainer page in a real browser: what it shows, computes and asks."""

import numpy as np
import pytest
from tests.explain.test_page_support import (
    IMAGES,
    box,
    branches,
    browser,
    choices,
    count_in,
    derivative,
    diamond,
    doubled,
    drawn,
    logistic,
    many_nodes,
    network,
    plain,
    rounds,
    rows_of,
    show,
    step_of,
    sum_and_product,
    text,
)

from wengert.explain import explain
from wengert.explain.page import make_payload

__all__ = ["browser", "show"]  # fixtures
pytestmark = pytest.mark.browser

# ---------------------------------------------------------------- the drawing and the story


def test_tells_the_story_before_anyone_clicks(show):
    page = show(logistic())
    assert page.title() == "f(x, w, b) · wengert"
    assert page.locator("#static").count() == 0
    assert "6 elementary operators" in text(page, ".intro")
    assert text(page, ".intro .equation").replace("\n", "").endswith("0.25")
    values = drawn(page, ".value")
    assert values.count("0.5") == 1
    assert values.count("2") == 1
    partials = drawn(page, ".partial")
    assert "∂ −1/h₅² = −0.25" in partials
    assert "∂ exp(h₃) = 1" in partials
    assert "∂ x = 1" in partials
    page.screenshot(path=IMAGES / "explain-page.png")


def test_without_javascript_the_static_part_is_shown(show):
    page = show(logistic(), ready=False, static="<p>static picture</p>", java_script_enabled=False)
    assert page.get_by_text("static picture").is_visible()


def test_the_legend_explains_every_mark(show):
    page = show(logistic())
    before = page.locator(".legend dd").count()
    assert page.locator(".legend dt").count() == before >= 11
    page.get_by_role("button", name="Reverse mode").click()
    assert page.locator(".legend dd").count() > before
    page.locator(".legend summary").click()
    assert not page.locator(".legend dl").is_visible()


def test_nothing_is_said_by_colour_alone(show):
    page = show(logistic(), "mode=reverse&step=3&node=5")
    assert all(partial.startswith("∂") for partial in drawn(page, ".partial"))
    pills = drawn(page, ".pill")
    assert pills
    assert all(pill.startswith("◂") for pill in pills)
    assert page.locator(".canvas .box.current .pointer").is_visible()
    assert text(page, "tr.current .here").strip() == "▶"


# ---------------------------------------------------------------- sweeps


def test_steps_with_every_control(show):
    page = show(logistic())
    assert step_of(page) == "6 / 6"
    for name, expected in (
        ("To the start", "0 / 6"),
        ("One step forward", "1 / 6"),
        ("One step forward", "2 / 6"),
        ("One step back", "1 / 6"),
        ("To the end", "6 / 6"),
    ):
        page.get_by_role("button", name=name, exact=True).click()
        assert step_of(page) == expected
    page.locator("#scrub").fill("3")
    assert step_of(page) == "3 / 6"
    assert text(page, ".story .lead") == "Step 3 of 6. Evaluate h₃:"


def test_the_present_operator_is_marked_in_graph_table_and_source(show):
    page = show(logistic(), "step=4")
    assert drawn(page, ".box.current .symbol") == ["exp"]
    row = page.locator("tr[aria-current=step]")
    assert row.count() == 1
    assert "h₄" in row.inner_text()
    line = page.locator("li[aria-current=step]")
    assert line.count() == 1
    assert "np.exp(-z)" in line.inner_text()


def test_plays_and_pauses(show):
    page = show(logistic(), "step=0")
    page.clock.install(time=0)
    page.clock.pause_at(1000)  # else the time on the wall runs on while the test clicks
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(2500)
    assert step_of(page) == "2 / 6"
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(5000)
    assert step_of(page) == "2 / 6"
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(20_000)
    assert step_of(page) == "6 / 6"
    assert page.get_by_role("button", name="Play").is_visible()


def test_evaluation_shows_values_up_to_the_step(show):
    page = show(logistic(), "step=3")
    assert not {"0.5", "2"} & set(drawn(page, ".value"))
    assert page.locator(".canvas .box.ahead").count() == 3


def test_forward_mode_from_the_input_that_is_clicked(show):
    page = show(logistic(), "mode=forward")
    box(page, 1).click()
    assert page.locator("#seed").input_value() == "1"
    page.keyboard.press("End")
    pills = drawn(page, ".pill")
    assert pills[:3] == ["▸ ∅", "▸ 1", "▸ ∅"]
    assert pills[-1] == "▸ 0.25"
    box(page, 2).click()
    assert drawn(page, ".pill")[3] == "▸ ∅"
    assert page.locator(".table .absent").count() >= 2


def test_reverse_mode_from_the_output_that_is_chosen(show):
    page = show(explain(sum_and_product)(2.0, 3.0), "mode=reverse")
    options = page.locator("#seed option").all_inner_texts()
    assert len(options) == 2
    product = next(o for o in options if "p" in o.replace("product", ""))
    total = next(o for o in options if o != product)
    page.locator("#seed").select_option(label=total)
    page.keyboard.press("End")
    assert drawn(page, ".pill")[0] == "◂ 1"
    page.locator("#seed").select_option(label=product)
    page.keyboard.press("End")
    assert drawn(page, ".pill")[0] == "◂ 3"
    page.locator(".canvas .box.op [data-box]", has_text="+").click()
    assert page.locator("#seed option:checked").text_content() == total


def test_reverse_mode_shows_adjoints_growing(show):
    page = show(explain(diamond)(0.0), "mode=reverse&step=2")
    assert drawn(page, ".box.input .pill")[0].endswith(" + …")
    assert "Still waiting" in text(page, ".story")
    page.keyboard.press("ArrowRight")
    assert drawn(page, ".box.input .pill") == ["◂ 2"]
    assert "+=" in text(page, ".story")


# ---------------------------------------------------------------- paths, nodes, memory


def test_lists_paths_with_products_and_sum(show):
    page = show(explain(diamond)(0.0))
    assert page.locator(".routes li").count() == 2
    shown = text(page, ".paths")
    assert "Paths: 2" in shown
    assert "✓" in shown
    assert "Forward mode says 2, reverse mode says 2." in shown
    assert "Path by path: 2 multiplications. Folded: 2. Saved: 0." in text(page, ".paths .fact")


def test_counts_paths_exactly_when_too_many_to_list(show):
    explanation = explain(doubled)(1.0)
    page = show(explanation)
    shown = text(page, ".paths")
    assert count_in(r"Paths: (\d+)", shown) == 2**100 == explanation.paths().count
    assert count_in(r"Saved: (\d+)", shown) == 99 * 2**100 - 2 * 99
    assert page.locator(".routes li").count() == 40


def test_chooses_the_ends_of_the_paths(show):
    page = show(logistic())
    page.locator("#path-from").select_option(label="b")
    assert text(page, ".routes li .route").startswith("b → h₂")
    assert "in=2" in page.evaluate("location.hash")


def test_a_clicked_node_shows_its_whole_chain_rule_sum(show):
    page = show(explain(diamond)(0.0))
    assert "Choose a node" in text(page, ".node")
    box(page, 0).click()
    assert "the sum over the operators that use it" in text(page, ".node")
    equation = page.locator(".node .equation").nth(1).inner_text().replace("\n", "")
    assert equation.endswith("2")
    assert equation.count("+") >= 2
    page.get_by_role("button", name="h₃", exact=True).click()
    assert "multiply" in text(page, ".node")


EXAMPLES = [
    logistic,
    network,
    many_nodes,
    lambda: explain(diamond)(0.3),
    lambda: explain(rounds)(0.3, 0.7),
    lambda: explain(choices)(-1.0, 2.0),
    lambda: explain(choices)(1.5, 0.5),
    lambda: explain(sum_and_product)(2.0, 3.0),
    lambda: explain(branches)(-2.0),
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_page_counts_what_python_counts(show, example):
    explanation = example()
    page = show(explanation)
    for mode, counts in zip(("forward", "reverse"), explanation.memory(), strict=True):
        shown = [int(most) for most, _ in rows_of(page, mode)]
        assert shown == [
            counts.accumulation,
            counts.tape,
            counts.total,
            counts.multiplications,
        ], mode


def test_the_meters_follow_the_sweep(show):
    page = show(logistic(), "mode=reverse&step=6")
    assert rows_of(page, "forward") == [["3", ""], ["0", ""], ["3", ""], ["14", ""]]
    assert rows_of(page, "reverse") == [["2", "2"], ["2", "0"], ["2", "2"], ["7", "7"]]
    page.get_by_role("button", name="Evaluate").click()
    page.keyboard.press("End")
    assert [now for _, now in rows_of(page, "reverse")] == ["0", "2", "2", "0"]


@pytest.mark.parametrize("n", [3, 7, 20])
def test_chain_sliders_state_the_exact_facts(show, n):
    page = show(logistic())
    page.locator("#chain-depth").fill(str(n))
    facts = text(page, ".facts")
    work = n * (n - 1) // 2
    assert f"one running product per input, n = {n} of them, with n(n−1)/2 = {work}" in facts
    assert f"holds 2 numbers however long the chain is, with 2n−3 = {2 * n - 3}" in facts
    assert f"{n - 1} here, {n} numbers at its fullest moment" in facts
    assert f"one such sweep per input: {n} here" in facts


def test_chain_checkpoints_outputs_and_drawing(show):
    page = show(logistic())
    page.locator("#chain-depth").fill("36")
    page.locator("#chain-checkpoints").fill("5")
    assert "a tape of 10, paid for by evaluating 25 operators again" in text(page, ".facts")
    page.locator("#chain-inputs").fill("1")
    page.locator("#chain-outputs").fill("36")
    assert "inputs 1, outputs 36" in text(page, ".facts")
    page.get_by_role("button", name="Show this chain as the graph").click()
    assert step_of(page) == "36 / 36"
    page.locator("#chain-depth").fill("4")
    assert step_of(page) == "4 / 4"
    page.get_by_role("button", name="Back to the original graph").click()
    assert step_of(page) == "6 / 6"


# ---------------------------------------------------------------- editing


def test_an_edited_input_changes_every_number_at_once(show):
    page = show(logistic())
    page.locator("#edit-1").fill("2")
    page.locator("#edit-2").fill("-1/2")
    result = 1 / (1 + np.exp(-1.5))
    slope = result * (1 - result)
    for row, expected in enumerate((2 * slope, slope, slope)):
        for column in (0, 1, 2):
            assert plain(derivative(page, row, column)) == pytest.approx(expected, rel=1e-5)
        assert derivative(page, row, 3) == "✓ agree"
    assert f"{result:.6g}" in drawn(page, ".value")
    assert "edit=" in page.evaluate("location.hash")
    page.get_by_role("button", name="Back to the given inputs").click()
    assert derivative(page, 1, 0) == "0.25"


@pytest.mark.parametrize("point", [(-1.0, 2.0), (1.5, 0.5), (2.0, 3.0)])
def test_editing_gives_what_python_gives_there(show, point):
    page = show(explain(choices)(0.5, 0.25))
    for k, x in enumerate(point):
        page.locator(f"#edit-{k}").fill(str(x))
    there = explain(choices)(*point)
    for row, expected in enumerate(there.derivatives):
        for column in (0, 1):
            shown = derivative(page, row, column)
            assert plain(shown) == pytest.approx(float(expected.value), rel=1e-5)
        assert derivative(page, row, 3) == "✓ agree"
    for mode, counts in zip(("forward", "reverse"), there.memory(), strict=True):
        assert int(rows_of(page, mode)[3][0]) == counts.multiplications


def test_what_is_no_number_is_refused_and_nan_is_marked(show):
    page = show(logistic())
    field = page.locator("#edit-0")
    field.fill("abc")
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("nan")
    assert field.get_attribute("aria-invalid") == "false"
    assert page.locator(".canvas .value.nan").count() > 0
    assert text(page, ".table .nan") == "⚠ NaN"
    assert page.locator(".inputs .absent").count() == 0


def test_zero_by_structure_is_marked_otherwise_than_zero_and_nan(show):
    page = show(logistic(), "mode=forward&in=2&node=3")
    assert any("∅" in cell for cell in page.locator("tr.chosen td").all_inner_texts())
    assert "No path leads from b to h₁" in text(page, ".node")


def test_a_branch_not_taken_is_dotted_and_does_not_poison(show):
    page = show(explain(choices)(-1.0, 2.0))
    assert page.locator(".canvas .link.zero").count() >= 2
    assert page.locator(".canvas .value.nan").count() == 1  # log(-1) itself
    assert derivative(page, 0, 0) == "−1"
    assert derivative(page, 0, 3) == "✓ agree"


def test_unknown_operators_lock_editing_with_a_reason(show):
    payload = make_payload(logistic())
    payload["views"][0]["nodes"][6] |= {"op": "bessel", "label": "J"}
    page = show(payload)
    assert page.locator("#edit-0").is_disabled()
    assert "does not know how to evaluate the operator bessel" in text(page, ".inputs")
    assert derivative(page, 1, 1) == "0.25"


# ---------------------------------------------------------------- predict first


def test_predict_first_asks_hints_and_checks(show):
    page = show(logistic(), "step=3")
    page.get_by_role("button", name="Predict first").click()
    assert step_of(page) == "0 / 6"
    assert "Hidden" in text(page, ".inputs")
    assert "Hidden" in text(page, ".paths")
    answer = page.locator("#quiz-answer")
    answer.fill("12")
    answer.press("Enter")
    assert "Not yet" in text(page, ".quiz .verdict")
    assert step_of(page) == "0 / 6"
    for _ in range(3):
        page.locator("[data-key=quiz-hint]").click()
    hints = page.locator(".hints li").all_inner_texts()
    assert hints == ["h₁ = x · w", "h₁ = x · w = 1 · 0", "The answer is 0."]
    for value in ("0", "0", "0", "1", "2", "1/2"):
        answer.fill(value)
        page.get_by_role("button", name="Check").click()
        assert "Right" in text(page, ".quiz .verdict"), value
    assert step_of(page) == "6 / 6"
    assert "Right: 6 of 7" in text(page, ".quiz")
    assert "Hidden" not in text(page, ".inputs")


@pytest.mark.parametrize(
    ("mode", "answers"),
    [
        ("forward", ["1", "1", "-1", "-1", "-1", "0.25"]),
        ("reverse", ["-0.25", "-0.25", "-0.25", "0.25", "0.25", "0"]),
    ],
)
def test_predict_first_in_both_modes(show, mode, answers):
    page = show(logistic(), f"mode={mode}&in=1&quiz=1&step=0")
    for value in answers:
        page.locator("#quiz-answer").fill(value)
        page.locator("#quiz-answer").press("Enter")
        assert "Right" in text(page, ".quiz .verdict"), value
