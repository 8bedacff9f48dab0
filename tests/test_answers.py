"""Answers: what each of the two rules finds in a response, and what it takes for the same answer."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.evaluation.answers import can_be_matched, judge
from utils.evaluation.paper_rule import Kind, kind_of, paper_answer
from utils.evaluation.questions import MATH_SETS
from utils.evaluation.strict_rule import given_answer, stated_answer, strict_answer, strict_same

N, L, X = Kind.NUMBER, Kind.LETTER, Kind.LATEX

# (response, gold, kind, right by `paper`, right by `strict`)
CASES = [
    # plain numbers
    ("The answer is 5", "5", N, True, True),
    ("The answer is 5.", "5", N, True, True),
    ("The answer is: 5", "5", N, True, True),
    ("The answer is\n12", "12", N, True, True),
    ("The answer is 6", "5", N, False, False),
    ("The answer is 05", "5", N, False, True),
    ("5", "5", N, True, True),
    ("It is 5 apples", "5", N, True, True),
    ("**The answer is** **7**.", "7", N, True, True),
    ("The answer is 7!", "7", N, True, True),
    ("The answer is about 7", "7", N, True, True),
    ("The answer is 7 (seven)", "7", N, True, True),
    # several triggers, several numbers
    ("3 + 4 = 7\n#### 72", "72", N, True, True),
    ("The answer is 1. No: The answer is 2", "2", N, True, True),
    ("The answer is 1. No: The answer is 2", "1", N, False, False),
    ("The answer is 3\n#### 8", "8", N, True, True),
    ("#### 3\nThe answer is 8", "8", N, True, True),
    ("so the answer is 4 and not 5", "4", N, False, True),
    ("the answer is 4", "4", N, True, True),
    ("THE ANSWER IS 4, or 5", "4", N, False, True),
    ("first 3, then 10 - 4 = 6 in all", "6", N, True, True),
    ("The answer is 18 because 3*6 = 18", "18", N, True, True),
    ("The answer is 18 because 3*7 = 21", "18", N, False, True),
    ("The answer is 7 apples, not 8", "7", N, True, True),
    ("7 apples, not 8", "7", N, False, False),
    ("The answer is 3.\n\n### Instruction:\nAdd 4 and 5", "3", N, True, True),
    ("The answer is 2 + 3 = 5", "5", N, True, True),
    ("The answer is x = 5", "5", N, True, True),
    ("The answer is 5 = x", "5", N, False, True),
    ("The answer is 5/8 = 0.625", "0.625", N, True, True),
    ("The answer is 5 and 6", "5", N, True, True),
    # empty, and nothing to be found
    ("", "5", N, False, False),
    ("nothing was found", "5", N, False, False),
    ("The answer is", "5", N, False, False),
    ("The answer is\n", "5", N, False, False),
    ("The answer is 5\nThe answer is", "5", N, False, False),
    ("####", "5", N, False, False),
    ("   \n  ", "5", N, False, False),
    ("The answer is five", "5", N, False, False),
    ("The answer is .", "5", N, False, False),
    # commas, points and zeros
    ("The answer is 1,234", "1234", N, True, True),
    ("The answer is 1234", "1,234", N, False, True),
    ("The answer is 1,234,567.50 dollars", "1234567.5", N, True, True),
    ("The answer is 12,34", "1234", N, True, False),
    ("The answer is 18.0", "18", N, True, True),
    ("The answer is 18.50", "18.5", N, True, True),
    ("The answer is 18", "18.0", N, False, True),
    ("The answer is 1363", "1363.0", N, False, True),
    ("The answer is 1363.0", "1363.0", N, False, True),
    ("The answer is 0", "0.0", N, False, True),
    ("The answer is .5", "0.5", N, False, True),
    ("The answer is 0.5", "0.5", N, True, True),
    ("The answer is 5.", "5.0", N, False, True),
    ("The answer is 100", "1e2", N, False, True),
    ("The answer is 10,\\!080", "10080", N, False, True),
    ("The answer is 0.333", "0.3333", N, False, False),
    ("The answer is 3.14159", "3.1416", N, False, False),
    # signs
    ("The answer is -3", "-3", N, True, True),
    ("The answer is -3", "3", N, False, False),
    ("The answer is \u22123", "-3", N, False, True),
    ("The answer is +3", "3", N, True, True),
    ("The answer is - 3", "-3", N, False, True),
    ("The answer is -$5", "-5", N, False, True),
    ("The answer is $-5$.", "-5", N, True, True),
    ("It fell by 10-4", "4", N, False, True),
    ("It fell by 10-4", "-4", N, True, False),
    ("It is -4", "-4", N, True, True),
    ("The answer is -0", "0", N, False, True),
    # units and money
    ("The answer is $5", "5", N, True, True),
    ("The answer is \\$18.90", "18.9", N, True, True),
    ("The answer is 5 dollars", "5", N, True, True),
    ("The answer is 5cm", "5", N, True, True),
    ("The answer is 5\\text{ cm}", "5", N, True, True),
    ("The answer is $45^{\\circ}$.", "45", N, True, True),
    ("The answer is 5 km/h", "5", N, True, True),
    ("The answer is 3 hours and 20 minutes", "3", N, True, True),
    ("The answer is 10:30", "10", N, True, False),
    ("The answer is 10:30 am", "10:30", N, False, False),
    ("The answer is 10:30 am", "10:30 pm", N, False, False),
    ("The answer is 3 : 4", "3:4", X, True, False),
    ("The answer is \u20ac5", "5", N, True, True),
    ("The answer is 5m^2", "5", N, True, False),
    # percent
    ("The answer is 50%", "50", N, True, True),
    ("The answer is 50\\%", "50", N, True, True),
    ("The answer is 50%", "0.5", N, False, False),
    ("The answer is 50 percent", "50", N, True, True),
    ("The answer is 12.5%", "12.5", N, True, True),
    # fractions
    ("The answer is 3/4 of a cup", "3/4", N, True, True),
    ("The answer is 3/4", "0.75", N, False, True),
    ("The answer is 6/8", "3/4", N, False, True),
    ("The answer is 0.75", "3/4", N, False, True),
    ("The answer is 1/3", "0.3333", N, False, False),
    ("The answer is 3/0", "0", N, False, False),
    ("The answer is 4/2", "2", N, False, True),
    ("The answer is 1 1/2", "1.5", N, False, False),
    ("The answer is $-\\frac{3}{2}$.", "-3/2", N, False, True),
    # scientific notation
    ("The answer is 1e5", "100000", N, False, True),
    ("The answer is 1.5e3", "1500", N, False, True),
    ("The answer is 2E-3", "0.002", N, False, True),
    ("The answer is 1.5 \\times 10^3", "1500", N, False, True),
    ("The answer is $1.5 \\times 10^{3}$", "1500", N, False, True),
    ("The answer is 1.5 x 10^3", "1500", N, False, True),
    ("The answer is 1e999999999", "5", N, False, False),
    ("The answer is 5e", "5", N, True, False),
    # lists and other things that numbers cannot match
    ("The answer is [3]", "[3]", N, False, True),
    ("The answer is 3", "[3]", N, False, True),
    ("The answer is [3, 5]", "[3, 5]", N, False, True),
    ("The answer is 3, 5", "[3, 5]", N, False, False),
    ("The answer is -20*x", "-20*x", N, False, True),
    ("The answer is -20x", "-20*x", N, False, True),
    ("The answer is True", "True", N, False, True),
    ("The answer is " + "9" * 5000, "9" * 5000, N, True, True),
    ("The answer is " + "9" * 5000, "8", N, False, False),
    # letters
    ("The answer is B", "B", L, True, True),
    ("The answer is B.", "B", L, True, True),
    ("The answer is (B)", "B", L, True, True),
    ("The answer is b", "B", L, True, True),
    ("The answer is (b)", "B", L, True, True),
    ("The answer is Option 1", "Option 1", L, False, True),
    ("The answer is C", "B", L, False, False),
    ("B", "B", L, True, False),
    ("A or B", "B", L, True, False),
    ("The answer is A or B", "A", L, True, False),
    ("The answer is a sum of 12", "12", L, False, True),
    ("The answer is 12", "12", L, True, True),
    ("The answer is F", "F", L, False, True),
    ("The answer is BA", "B", L, False, False),
    ("The answer is August", "August", L, False, True),
    ("The answer is august", "August", L, False, True),
    ("The answer is Friday.", "Friday", L, False, True),
    ("The answer is 1536", "1536", L, True, True),
    ("The answer is 1,536", "1536", L, True, True),
    ("The answer is B) tree", "B", L, True, False),
    # LaTeX
    ("The answer is $\\frac{1}{2}$.", "\\frac{1}{2}", X, True, True),
    ("The answer is \\dfrac{1}{2}", "\\frac{1}{2}", X, True, True),
    ("The answer is \\frac12", "\\frac{1}{2}", X, True, True),
    ("The answer is 1/2", "\\frac{1}{2}", X, True, True),
    ("The answer is 0.5", "\\frac{1}{2}", X, True, True),
    ("The answer is 0.51", "\\frac{1}{2}", X, True, False),
    ("The answer is 0.53", "\\frac{1}{2}", X, False, False),
    ("The answer is \\frac{2}{4}", "\\frac{1}{2}", X, True, True),
    ("The answer is -\\frac{1}{2}", "-\\frac{1}{2}", X, True, True),
    ("The answer is \\frac{-1}{2}", "-\\frac{1}{2}", X, True, True),
    ("The answer is 4.6", "5", X, True, False),
    ("The answer is 4.4", "5", X, False, False),
    ("The answer is 103", "100", X, False, False),
    ("The answer is 10.3", "10.1", X, True, False),
    ("The answer is \\boxed{5}", "5", X, True, True),
    ("So $x = \\boxed{\\frac{1}{2}}$", "\\frac{1}{2}", X, True, True),
    ("The sum is \\boxed{12}.", "12", X, True, True),
    ("So we get 12.", "12", X, True, True),
    ("The answer is $x = 5$", "5", X, True, True),
    ("The answer is $x=5$", "x=5", X, True, True),
    ("The answer is $5$", "x=5", X, True, True),
    ("The answer is 2\\sqrt{5}", "2\\sqrt{5}", X, True, True),
    ("The answer is 2\\sqrt5", "2\\sqrt{5}", X, True, True),
    ("The answer is \\sqrt{20}", "2\\sqrt{5}", X, False, True),
    ("The answer is p - q", "p - q", X, True, True),
    ("The answer is -q + p", "p - q", X, False, True),
    ("The answer is q - p", "p - q", X, False, False),
    ("The answer is $(3, \\frac{\\pi}{2})$", "\\left( 3, \\frac{\\pi}{2} \\right)", X, True, True),
    ("The answer is (3, 4)", "(3,4)", X, True, True),
    ("The answer is (4, 3)", "(3,4)", X, False, False),
    ("The answer is [2, 3]", "(2, 3)", X, False, False),
    ("The answer is 2,1", "1,2", X, False, True),
    ("The answer is \\text{Evelyn}", "\\text{Evelyn}", X, True, True),
    ("The answer is Evelyn", "\\text{Evelyn}", X, True, True),
    ("The answer is two", "tow", X, False, False),
    ("The answer is 2516_8", "2516_8", X, True, True),
    ("The answer is 2516", "2516_8", X, False, False),
    ("The answer is $90^\\circ$", "90", X, True, True),
    ("The answer is 5x - 7y = 0", "5x - 7y = 0", X, True, True),
    ("The answer is 7y - 5x = 0", "5x - 7y = 0", X, False, True),
    ("The answer is 3.1415927", "\\pi", X, False, False),
    ("The answer is 0.33333333", "\\frac{1}{3}", X, True, False),
    ("The answer is 10,000", "10{,}000", X, True, True),
    ("The answer is 5\\text{ cm}", "5", X, True, True),
    ("The answer is \\frac{1}{0}", "5", X, False, False),
    ("The answer is x^{16}", "x^{15}", X, False, False),
    ("The answer is (-\\infty, 2)", "(-\\infty, 2)", X, True, True),
    ("The answer is \\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", X, True, True),
    ("The answer is \\frac{", "5", X, False, False),
    ("The answer is 9^{9^{9^{9}}}", "5", X, False, False),
    # no kind: as the gold answer suggests, which is read by the same rule
    ("The answer is 1363", "1,363.0", None, True, True),
    ("The answer is (A)", "(A)", None, True, True),
    ("The answer is a", "A", None, True, True),
    ("The answer is \\frac{1}{2}", "\\dfrac12", None, True, True),
    ("The answer is no solution", "no solution", None, True, True),
    ("The answer is No Solution.", "no solution", None, False, True),
]  # fmt: skip


@pytest.mark.parametrize(("response", "gold", "kind", "paper", "strict"), CASES)
def test_both_rules_on_hard_cases(response, gold, kind, paper, strict):
    verdicts = judge(response, gold, kind)
    assert (verdicts.paper.correct, verdicts.strict.correct) == (paper, strict), verdicts


def test_the_table_is_large():
    assert len(CASES) >= 150


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 5", "5"),
        ("The answer is 5.", "5"),
        ("The answer is: 5", "5"),
        ("The answer is\n12", "12"),
        ("so the answer is 4", "4"),
        ("**The answer is** **7**.", "7"),
        ("3 + 4 = 7\n#### 72", "72"),
        ("The answer is 1. No: the answer is 2", "2"),
        ("The answer is 3\n#### 8", "8"),
        ("The answer is $5", "5"),
        ("The answer is -$5", "-5"),
        ("The answer is $-5$.", "-5"),
        ("The answer is −2.", "-2"),
        ("The answer is \\$18.90", "18.90"),
        ("The answer is 1,234.50 dollars", "1,234.50"),
        ("The answer is 50%", "50"),
        ("The answer is 50\\%", "50"),
        ("The answer is .5", ".5"),
        ("The answer is 3/4 of a cup", "3/4"),
        ("The answer is $-\\frac{3}{2}$.", "-3/2"),
        ("The answer is \\boxed{\\frac{1}{2}}", "1/2"),
        ("The answer is 5\\text{ cm}", "5"),
        ("The answer is $45^{\\circ}$.", "45"),
        ("The answer is 10,\\!080", "10,080"),
        ("The answer is x = 5", "5"),
        ("The answer is 2 + 3 = 5", "5"),
        ("The answer is 5/8 = 0.625", "5/8"),
        ("The answer is 18 because 3*6 = 18", "18"),
        ("The answer is 7 apples, not 8", "7"),
        ("The answer is 3.\n\n### Instruction:\nAdd 4 and 5", "3"),
        ("The answer is A.", "A"),
        ("The answer is (B)", "(B)"),
        ("The answer is yes. There are 5 of them.", "yes"),
        ("The answer is no solution", "no solution"),
        ("The answer is (5,12)", "(5,12)"),
        ("The answer is -2,1", "-2,1"),
        ("The answer is [2, 3]", "[2, 3]"),
        ("The answer is 2x + 3", "2x + 3"),
        ("The answer is y = 2x + 3", "2x + 3"),
        ("The answer is 5x - 7y = 0", "5x - 7y = 0"),
        ("The answer is 2\\sqrt{5}", "2\\sqrt{5}"),
        ("The answer is x^{16}", "x^{16}"),
        ("The answer is 2516_8", "2516_8"),
        ("The answer is 10:30", "10:30"),
        ("The answer is", ""),
        ("", ""),
        ("nothing was found", ""),
        ("first 3, then 10 - 4 = 6 in all", "6"),
        ("it fell by 10-4", "4"),
        ("it is -4", "-4"),
        ("it costs 1,000.", "1,000"),
        ("a list: 1,2345", "2345"),
    ],
)
def test_the_strict_answer_of_a_text(text, answer):
    assert strict_answer(text) == answer


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1,234.50", "1234.5", True),
        ("18", "18.0", True),
        ("-3", "−3", True),
        ("3/4", "0.75", True),
        ("3/4", "6/8", True),
        ("1/3", "0.3333", False),
        ("+5", "5", True),
        (".5", "0.50", True),
        ("50%", "50", True),
        ("$5", "5", True),
        ("[383]", "383", True),
        ("(B)", "b", True),
        ("B", "C", False),
        ("No Solution", "no  solution", True),
        ("\\left( 3, 4 \\right)", "(3,4)", True),
        ("(3,4)", "(3,5)", False),
        ("\\dfrac{\\pi}{2}", "\\frac{\\pi}{2}", True),
        ("5", "five", False),
        ("", "", False),
        ("3/0", "3/0", True),
        ("3/0", "0", False),
        ("9" * 5000, "9" * 5000, True),
        ("9" * 5000, "8", False),
    ],
)
def test_answers_are_compared_by_value(one, other, same):
    assert strict_same(one, other) is same
    assert strict_same(other, one) is same


@given(numerator=st.integers(-(10**9), 10**9), digits=st.integers(0, 6))
def test_a_number_is_found_however_it_is_written(numerator, digits):
    value = Fraction(numerator, 10**digits)
    for written in (
        f"{numerator / 10**digits:.{digits}f}",
        f"{numerator / 10**digits:,.{digits}f}",
        f"{numerator}/{10**digits}",
    ):
        if Fraction(written.replace(",", "")) == value:  # a float of 15 digits and more may not be
            assert strict_same(strict_answer(f"1 + 2\nThe answer is ${written}$."), given_answer(written))


def test_a_gold_answer_must_be_stated():
    assert stated_answer("2 + 3 = 5\nThe answer is 5") == "5"
    assert stated_answer("42 apples") == "42"
    assert stated_answer("june = 7\nprint(june)") == ""
    assert stated_answer("from 3 to 4") == ""


def oracle(golds: list[str], kind: Kind | None) -> tuple[int, int]:
    """How many golds each rule finds right in a response that states them."""
    verdicts = [can_be_matched(gold, kind) for gold in golds]
    return sum(verdict.paper.correct for verdict in verdicts), sum(verdict.strict.correct for verdict in verdicts)


def test_an_oracle_is_right_up_to_what_a_rule_can_match():
    assert oracle(["18", "70000", "5.5", "-3", "0"], MATH_SETS["gsm8k"]) == (5, 5)
    assert oracle(["12421", "B", "August", "Friday"], MATH_SETS["numglue"]) == (2, 4)
    assert oracle(["2", "831", "[3]", "1363.0", "0.0", "-20*x"], MATH_SETS["mathematics"]) == (2, 6)
    assert oracle(["\\frac{14}{3}", "p - q", "\\text{Evelyn}", "[-2,7]"], MATH_SETS["math"]) == (4, 4)
    assert oracle(["[3]", "1363.0", "August", "(B)", "1,000"], None) == (5, 5)


@given(st.text(max_size=60), st.sampled_from([None, *Kind]))
def test_no_text_breaks_a_rule(text, kind):
    judge(text, "5", kind)
    judge("The answer is " + text, text, kind)


@pytest.mark.parametrize(
    ("gold", "kind"), [("5", N), ("-1,234.5", N), ("3/4", N), ("B", L), ("(C)", L), ("x^2", X), ("August", X), ("F", X)]
)
def test_the_kind_follows_from_the_gold_answer(gold, kind):
    assert kind_of(gold) is kind


def test_an_answer_without_value_is_empty():
    assert [paper_answer("The answer is none", kind) for kind in (N, L)] == ["", ""]
    assert strict_answer("nothing here") == ""
