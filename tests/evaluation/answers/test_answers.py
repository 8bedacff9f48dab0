"""Answers: what each of the two rules finds in a response, and what it takes for the same answer."""

import signal
import threading
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from utils.evaluation.answers import formulas
from utils.evaluation.answers.judging import Gold, best_verdicts, judge
from utils.evaluation.answers.paper import AnswerKind, kind_of_answer, paper_answer
from utils.evaluation.answers.python_numbers import evaluate
from utils.evaluation.answers.strict import (
    bare_answer,
    given_answer,
    marked_answer,
    strict_answer,
    strict_same,
)
from utils.evaluation.questions.files import MATH_SETS

N = AnswerKind.NUMBER
L = AnswerKind.LETTER
X = AnswerKind.LATEX

# (response, gold, kind, right by `paper`, right by `strict`)
CASES = [
    # plain numbers
    ("The answer is 5", "5", N, True, True),
    ("The answer is 5.", "5", N, True, True),
    ("The answer is: 5", "5", N, True, True),
    ("The answer is\n12", "12", N, True, True),
    ("The answer is 6", "5", N, False, False),
    ("The answer is 05", "5", N, True, True),
    ("5", "5", N, True, True),
    ("It is 5 apples", "5", N, True, True),
    ("**The answer is** **7**.", "7", N, True, True),
    ("The answer is 7!", "7", N, True, False),
    ("The answer is about 7", "7", N, True, True),
    ("The answer is 7 (seven)", "7", N, True, False),
    # several triggers, several numbers
    ("3 + 4 = 7\n#### 72", "72", N, True, True),
    ("The answer is 1. No: The answer is 2", "2", N, True, True),
    ("The answer is 1. No: The answer is 2", "1", N, False, False),
    ("The answer is 3\n#### 8", "8", N, True, True),
    ("#### 3\nThe answer is 8", "8", N, True, True),
    ("so the answer is 4 and not 5", "4", N, False, True),
    ("the answer is 4", "4", N, True, True),
    ("THE ANSWER IS 4, or 5", "4", N, False, False),
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
    ("The answer is 5 and 6", "5", N, True, False),
    # on goes the model: with a question of its own, or with its answer
    ("The answer is 42.\n\nQ: foo The answer is 43", "42", N, True, True),
    ("#### Step 1: Read\n\nProblem: two and three.\n\nThe answer is 5.", "5", N, True, True),
    ("Answer:\n\nQuestion: two and three.\n\nThe answer is 5.", "5", N, True, True),
    ("#### Given\n\nQuestion: two and three.\n\n\\boxed{5}", "5", N, True, True),
    ("The answer is 42.\n\n**Question 2:** foo\nAnswer: 43", "42", N, True, True),
    ("The answer is 42.\n\n\n### Problem\nfoo\n#### 43", "42", N, False, True),
    ("#### 42\n\nBelow is an instruction that describes a task.\n\n#### 43", "42", N, True, True),
    ("So $\\boxed{42}$.\n\nQuestion: foo\nSo $\\boxed{43}$.", "42", X, False, True),
    ("The answer is 41.\n\nWait, is that so? 6 * 7 = 42. The answer is 42.", "42", N, False, True),
    ("The answer is 42.\n\nCheck: 42 / 7 = 6. So the answer is 42.", "42", N, False, True),
    ("The answer is 42.\n\nThe question is: what is twice that? The answer is 84.", "84", N, False, True),
    ("Question: foo\n\nProblem 1: foo\n\nThe answer is 42", "42", N, True, True),
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
    ("The answer is -0", "0", N, True, True),
    # units and money
    ("The answer is $5", "5", N, True, True),
    ("The answer is \\$18.90", "18.9", N, True, True),
    ("The answer is 5 dollars", "5", N, True, True),
    ("The answer is 5cm", "5", N, True, True),
    ("The answer is 5\\text{ cm}", "5", N, True, True),
    ("The answer is $45^{\\circ}$.", "45", N, True, True),
    ("The answer is 5 km/h", "5", N, True, True),
    ("The answer is 3 hours and 20 minutes", "3", N, True, False),
    ("The answer is 10:30", "10", N, True, False),
    ("The answer is 10:30 am", "10:30", N, False, False),
    ("The answer is 10:30 am", "10:30 pm", N, False, False),
    ("The answer is 3 : 4", "3:4", X, True, True),
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
    ("The answer is 1 1/2", "1.5", N, False, True),
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
    ("The answer is " + "9" * 5000, "9" * 5000, N, False, True),
    ("The answer is " + "9" * 5000, "8", N, False, False),
    # letters
    ("The answer is B", "B", L, True, True),
    ("The answer is B.", "B", L, True, True),
    ("The answer is (B)", "B", L, True, True),
    ("The answer is b", "B", L, True, True),
    ("The answer is (b)", "B", L, True, True),
    ("The answer is Option 1", "Option 1", L, False, True),
    ("The answer is C", "B", L, False, False),
    ("B", "B", L, True, True),
    ("A or B", "B", L, True, False),
    ("The answer is A or B", "A", L, True, False),
    ("The answer is a sum of 12", "12", L, False, False),
    ("The answer is 12", "12", L, True, True),
    ("The answer is F", "F", L, False, True),
    ("The answer is BA", "B", L, False, False),
    ("The answer is August", "August", L, False, True),
    ("The answer is august", "August", L, False, True),
    ("The answer is Friday.", "Friday", L, False, True),
    ("The answer is 1536", "1536", L, True, True),
    ("The answer is 1,536", "1536", L, True, True),
    ("The answer is B) tree", "B", L, True, True),
    ("The answer is (B) 5", "B", L, True, True),
    ("The answer is B. 5 apples", "B", L, True, True),
    ("The answer is option B", "(B)", L, False, True),
    ("The answer is Choice (b): 5 apples", "B", L, True, True),
    ("The answer is \\text{(B)} 5", "B", L, True, True),
    ("The answer is (C) 5", "B", L, False, False),
    ("The answer is B) 5 or C) 6", "B", L, True, False),
    ("The answer is (B) or (C)", "B", L, True, False),
    ("The answer is option B is wrong", "B", L, True, False),
    ("The answer is (a) 3 (b) 0", "A", L, True, False),
    # LaTeX
    ("The answer is $\\frac{1}{2}$.", "\\frac{1}{2}", X, False, True),
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
    ("The answer is $x = 5$", "5", X, False, True),
    ("The answer is $x=5$", "x=5", X, False, True),
    ("The answer is $5$", "x=5", X, False, True),
    ("The answer is 2\\sqrt{5}", "2\\sqrt{5}", X, True, True),
    ("The answer is 2\\sqrt5", "2\\sqrt{5}", X, True, True),
    ("The answer is \\sqrt{20}", "2\\sqrt{5}", X, False, True),
    ("The answer is p - q", "p - q", X, True, True),
    ("The answer is -q + p", "p - q", X, False, True),
    ("The answer is q - p", "p - q", X, False, False),
    ("The answer is $(3, \\frac{\\pi}{2})$", "\\left( 3, \\frac{\\pi}{2} \\right)", X, False, True),
    ("The answer is (3, 4)", "(3,4)", X, True, True),
    ("The answer is (4, 3)", "(3,4)", X, False, False),
    ("The answer is [2, 3]", "(2, 3)", X, True, False),
    ("The answer is 2,1", "1,2", X, False, True),
    ("The answer is \\text{Evelyn}", "\\text{Evelyn}", X, True, True),
    ("The answer is Evelyn", "\\text{Evelyn}", X, False, True),
    ("The answer is two", "tow", X, False, False),
    ("The answer is 2516_8", "2516_8", X, True, True),
    ("The answer is 2516", "2516_8", X, False, False),
    ("The answer is $90^\\circ$", "90", X, False, True),
    ("The answer is 5x - 7y = 0", "5x - 7y = 0", X, True, True),
    ("The answer is 7y - 5x = 0", "5x - 7y = 0", X, False, True),
    ("The answer is 3.1415927", "\\pi", X, False, False),
    ("The answer is 0.33333333", "\\frac{1}{3}", X, True, False),
    ("The answer is 10,000", "10{,}000", X, False, True),
    ("The answer is 5\\text{ cm}", "5", X, True, True),
    ("The answer is \\frac{1}{0}", "5", X, False, False),
    ("The answer is x^{16}", "x^{15}", X, False, False),
    ("The answer is (-\\infty, 2)", "(-\\infty, 2)", X, True, True),
    ("The answer is \\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}",
     X, True, True),
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
    verdicts = judge(response, Gold(gold, kind))
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
        ("The answer is $5", "$5"),
        ("The answer is -$5", "-$5"),
        ("The answer is $-5$.", "$-5$"),
        ("The answer is −2.", "-2"),
        ("The answer is \\$18.90", "\\$18.90"),
        ("The answer is 1,234.50 dollars", "1,234.50 dollars"),
        ("The answer is 50%", "50%"),
        ("The answer is .5", ".5"),
        ("The answer is 3/4 of a cup", "3/4 of a cup"),
        ("The answer is $-\\frac{3}{2}$.", "$-\\frac{3}{2}$"),
        ("The answer is \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("The answer is x = 5", "x = 5"),
        ("So we get $\\boxed{5}$, and \\boxed{6} is no answer", "6"),
        ("The roots are $\\boxed{3}$ and $\\boxed{5}$.", "3, 5"),
        ("So $\\boxed{x = \\boxed{5}}$.", "x = 5"),
        ("The answer is 4. No:\n$$\\boxed{5}$$", "5"),
        ("We get \\boxed{5}.\nThe answer is 6", "6"),
        ("\\boxed 7", "7"),
        ("The answer is\n\\[\n5 + x\n\\]", "5 + x"),
        (
            "The answer is \\begin{pmatrix} 1 \\\\\n 2 \\end{pmatrix}",
            "\\begin{pmatrix} 1 \\\\\n 2 \\end{pmatrix}",
        ),
        ("The answer is 10 a.m. on Monday. Not 9.", "10 am on Monday"),
        ("The answer is a. 5 b. 6", "a. 5 b. 6"),
        ("The final answer is 5", "5"),
        ("**Answer:** 5", "5"),
        ("**Answer: 5**", "5"),
        ("The answer is **$18** per day.", "$18 per day"),
        ("The answer is `5`.", "5"),
        ('The answer is "5".', "5"),
        ("The answer is __5__", "5"),
        ("The answer is 2**3 + x**2", "2**3 + x**2"),
        ("2x + 3", "2x + 3"),
        ("$\\frac{1}{2}$", "$\\frac{1}{2}$"),
        ("August", "August"),
        ("b. z = 4", "4"),
        ("The answer is 3.\n\n### Instruction:\nAdd 4 and 5", "3"),
        ("The answer is A.", "A"),
        ("The answer is (B)", "(B)"),
        ("The answer is yes. There are 5 of them.", "yes"),
        ("The answer is no solution", "no solution"),
        ("The answer is (5,12)", "(5,12)"),
        ("The answer is -2,1", "-2,1"),
        ("The answer is [2, 3]", "[2, 3]"),
        ("The answer is 2x + 3", "2x + 3"),
        ("The answer is y = 2x + 3", "y = 2x + 3"),
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


# (one answer, another, whether they are the same); each is tried both ways, as a statement and in a box
MEANINGS = [
    # all of an answer counts
    ("3 and 7", "3 and 5", False),
    ("3 and 5", "3, 5", True),
    ("3 and 5", "3", False),
    ("x = 1 or x = 5", "x = 1 or x = 2", False),
    ("x = 1 or x = 2", "x = 2 or x = 1", True),
    ("x = 1 or x = 2", "1, 2", True),
    ("x = 1, y = 2", "y = 2, x = 1", True),
    ("x = 1, y = 2", "x = 2, y = 1", False),
    ("x = 1, y = 2", "2, 1", False),
    ("7 remainder 1", "7 remainder 3", False),
    ("7 remainder 1", "7", False),
    ("12,345", "12, 345", False),
    ("12, 345", "12,  345", True),
    ("10 am", "10 pm", False),
    ("10 a.m.", "10 am", True),
    ("10:30 am", "10:30 pm", False),
    ("3 feet 4 inches", "3 feet 5 inches", False),
    ("3 hours and 20 minutes", "3 hours and 20 minutes", True),
    ("3 hours and 20 minutes", "3", False),
    ("5 or more", "5", False),
    ("less than 5", "5", False),
    ("not 5", "5", False),
    ("5 less", "5", False),
    ("(a) 3 (b) 0", "(a) 4 (b) 0", False),
    ("18 because 3*6 = 18", "18", True),
    ("7 apples, not 8", "7", True),
    ("1, 2, \\ldots, 10", "1, 2, \\ldots, 20", False),
    ("1, 2, \\ldots, 10", "1,2,...,10", True),
    ("\\text{3 and 7}", "\\text{3 and 5}", False),
    # numbers
    ("\\frac{1}{52!}", "\\frac{1}{51!}", False),
    ("9999999999999999999999", "9999999999999999999998", False),
    ("0.1", "0.10000000000000001", False),
    ("2^{100}", "1267650600228229401496703205376", True),
    ("2^{100}", "1267650600228229401496703205377", False),
    ("1 1/2", "1.5", True),
    ("1\\frac{1}{2}", "3/2", True),
    ("1 1/2", "11/2", False),
    ("0.\\overline{3}", "1/3", True),
    ("-0", "0", True),
    ("1.5 \\times 10^3", "1500", True),
    ("1.5e3", "1,500", True),
    ("1{,}000", "1000", True),
    ("5 million", "5,000,000", True),
    ("\\frac{-3}{2}", "-1.5", True),
    ("7!", "5040", True),
    ("\uff12\uff15", "25", True),
    ("\u22123", "-3", True),
    ("1\u00bd", "1.5", True),
    ("x\u00b2", "x^2", True),
    ("2516_8", "2516", False),
    ("2516_{8}", "2516_8", True),
    # units
    ("120^\\circ", "120", True),
    ("120^{\\circ}", "120 degrees", True),
    ("5 cm", "5\\text{ m}", False),
    ("5\\text{ cm}^2", "5 square cm", True),
    ("5 cm", "5", True),
    ("5, 5 cm", "5 cm, 5 m", True),
    ("5 cm, 5", "5 cm, 5 m", True),
    ("5, 5", "5 cm, 5 m", True),
    ("5 cm, 5 cm", "5 cm, 5 m", False),
    ("50%", "50", True),
    ("50\\%", "0.5", False),
    ("\\$5", "5 cents", False),
    ("\\$5", "5 dollars", True),
    ("\\frac{3}{4}\\text{ hours}", "0.75", True),
    ("12\\pi\\text{ inches}", "12\\pi", True),
    ("2x", "2", False),
    # sets, tuples, intervals, matrices
    ("(1,2)", "1,2", False),
    ("(1,2)", "(2,1)", False),
    ("(1,200)", "(1, 200)", True),
    ("(1,200)", "1200", False),
    ("\\left(\\frac{1}{2}, 3\\right)", "(0.5, 3)", True),
    ("\\{1, 2\\}", "\\{2, 1, 1\\}", True),
    ("\\{1, 2\\}", "\\{1, 3\\}", False),
    ("-2, 1", "1, -2", True),
    ("[0, 1)", "[0, 1]", False),
    ("(-\\infty, 2) \\cup (3, \\infty)", "(3, +\\infty) \\cup (-\\infty, 2)", True),
    ("[-\\pi/2, \\pi/2]", "\\left[-\\frac{\\pi}{2}, \\frac{\\pi}{2}\\right]", True),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{bmatrix}1\\\\0.5 \\cdot 4\\end{bmatrix}", True),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 & 2 \\end{pmatrix}", False),
    ("2 \\pm \\sqrt{3}", "2 + \\sqrt{3}, 2 - \\sqrt3", True),
    ("3:4", "4:3", False),
    # equations and inequalities
    ("x > 2", "2 < x", True),
    ("x \\geq 2", "x > 2", False),
    ("1 < x \\le 5", "5 \\geq x > 1", True),
    ("x \\in [1,2]", "[1,2]", True),
    ("y = 2x + 3", "2x - y + 3 = 0", True),
    ("32 = x^5", "12 = x^5", False),
    ("2 + 3 = 5", "5", True),
    ("x = 4 + 1 = 5", "5", True),
    ("(2 + 7) + 3 = 2 + (7 + 3)", "(2 + 7) + 9 = 2 + (7 + 3)", False),
    ("f(x) = 2x", "g(x) = 2x", False),
    ("x \\approx 0.47", "x \\approx 0.49", False),
    ("\\sqrt{2} \\approx 1.414", "\\sqrt{2}", True),
    # formulas and words
    ("R^2", "r^2", False),
    ("2(3)", "5", False),
    ("\\sqrt{x^2}", "x", False),
    ("\\sin^2 x + \\cos^2 x", "1", True),
    ("(-1)^{n+1}", "(-1)^{n}", False),
    ("\\text{(B)}", "b", True),
    ("Tuesday", "Monday", False),
    ("x' + 1", "x + 1", False),
    # a text that says no product, difference or quotient
    ("no", "on", False),
    ("10 to 20", "20 to 10", False),
    ("10-20", "-10", False),
    ("10\u201320", "10-20", True),
    ("2024-01-05", "2018", False),
    ("1/2/2024", "1/4048", False),
    # scales and parts of ten are no units
    ("\\$5 million", "5", False),
    ("\\$5 million", "5,000,000", True),
    ("\\$5 \\text{ million}", "5000000", True),
    ("5 hundred thousand", "500", False),
    ("5 hundred thousand", "500000", True),
    ("5 tenths", "5", False),
    ("2 thirds", "2", False),
    # braces that hold an exponent of one digit
    ("x^{1}0", "x^{10}", False),
    ("2^{3}5^{2}", "200", True),
    ("101_{\\text{2}}", "101_2", True),
    # names
    ("x = y", "y = x", True),
    ("x = y", "5", False),
    ("(x, y) = (2, 5)", "(2, 5)", True),
    ("(x, y) = (2, 5)", "(y, x) = (2, 5)", False),
    ("x = 1, 2", "x = 1 or x = 2", True),
    ("x = 1, 2", "z = 1, 2", False),
    ("x = 3 \\pm \\sqrt{2}", "z = 3 \\pm \\sqrt{2}", False),
    # notation
    ("{\\frac{1}{2}}", "0.5", True),
    ("{1, 2}", "\\{2, 1\\}", True),
    ("\\bf 5", "5", True),
    ("10:30 A.M.", "10:30 am", True),
    ("10:30\\text{ AM}", "10:30 pm", False),
    ("7 R 3", "7 remainder 3", True),
    ("7 R3", "7 remainder 1", False),
    ("3 hours and 20 minutes", "3 hours 20 minutes", True),
    ("3 hours, 20 min", "3 hours 30 minutes", False),
    ("\\begin{pmatrix} 1 \\\\[2pt] 2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", True),
    ("\\$18 every day at the farmers' market", "18", True),
]


@pytest.mark.parametrize(("one", "other", "same"), MEANINGS)
def test_the_strict_rule_compares_all_of_an_answer(one, other, same):
    for answer, gold in ((one, other), (other, one)):
        for text in (f"The answer is {answer}.", f"So we get $\\boxed{{{answer}}}$.\nThis completes it."):
            assert strict_same(strict_answer(text), given_answer(gold)) is same, text


def test_a_rule_that_runs_out_of_processor_time_says_so_and_goes_on():
    verdict = judge("The answer is 9^{9^{9^{9}}}", Gold("5")).strict
    assert (verdict.correct, verdict.undecided) == (False, True)
    assert strict_same("\\sqrt{20}", "2\\sqrt{5}") is True, "the next question has a process again"


def test_wall_clock_time_decides_nothing():
    """A process that is stopped for a while uses no processor time."""
    assert strict_same("\\sqrt{28}", "2\\sqrt{7}") is True
    process = formulas._ALGEBRA._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    threading.Timer(4, process.send_signal, [signal.SIGCONT]).start()
    assert strict_same("\\sqrt{44}", "2\\sqrt{11}") is True


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


def stated_answer(response: str) -> str:
    return marked_answer(response) or bare_answer(response)


def test_a_gold_answer_must_be_stated():
    assert stated_answer("2 + 3 = 5\nThe answer is 5") == "5"
    assert stated_answer("42 apples") == "42"
    assert stated_answer("june = 7\nprint(june)") == ""
    assert stated_answer("from 3 to 4") == ""


@pytest.mark.parametrize(
    "text",
    [
        "Bei 163 cm nimm Gr\u00f6\u00dfe S.",
        "It is 5.",
        "Size 40 fits",
        # Hebrew, where the hyphen is no minus: washing at 40 degrees. Arabic: the number of protons is 53.
        "\u05db\u05d1\u05d9\u05e1\u05d4 \u05d1-40 \u05de\u05e2\u05dc\u05d5\u05ea",
        "\u0639\u062f\u062f \u0627\u0644\u0628\u0631\u0648\u062a\u0648\u0646\u0627\u062a \u0647\u0648 53.",
        "\u4ed6\u306b\u3054\u7528\u306f\u3042\u308a\u307e\u3059\u304b\uff1f",  # Japanese: anything else?
        "\u3042\u308a\u304c\u3068\u3046\u3054\u3056\u3044\u307e\u3059",
        "\u041d\u0435\u0442, \u0441\u043f\u0430\u0441\u0438\u0431\u043e",
    ],
)
def test_free_text_of_any_language_states_no_answer(text):
    assert stated_answer(text) == ""


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("-40 \u05de\u05e2\u05dc\u05d5\u05ea", "-40 \u05de\u05e2\u05dc\u05d5\u05ea"),
        ("\u6771\u4eac", "\u6771\u4eac"),
        ("\u041c\u043e\u0441\u043a\u0432\u0430", "\u041c\u043e\u0441\u043a\u0432\u0430"),
        ("\u0665", "5"),
        ("20 square feet", "20"),
        ("x \u2208 \u211d", "x \\in  \u211d"),
        ("17%", "17%"),
        ("Yes.", "Yes"),
    ],
)
def test_a_response_that_is_nothing_but_an_answer_states_it(text, answer):
    assert stated_answer(text) == answer
    assert best_verdicts(Gold(answer, reference=text)).strict.correct


def oracle(golds: list[str], kind: AnswerKind | None) -> tuple[int, int]:
    """How many golds each rule finds right in a response that states them."""
    verdicts = [best_verdicts(Gold(gold, kind)) for gold in golds]
    return sum(verdict.paper.correct for verdict in verdicts), sum(
        verdict.strict.correct for verdict in verdicts
    )


def test_an_oracle_is_right_up_to_what_a_rule_can_match():
    assert oracle(["18", "70000", "5.5", "-3", "0"], MATH_SETS["gsm8k"]) == (5, 5)
    assert oracle(["12421", "B", "August", "Friday"], MATH_SETS["numglue"]) == (2, 4)
    assert oracle(["2", "831", "[3]", "1363.0", "0.0", "-20*x"], MATH_SETS["mathematics"]) == (2, 6)
    assert oracle(["\\frac{14}{3}", "p - q", "\\text{Evelyn}", "[-2,7]"], MATH_SETS["math"]) == (4, 4)
    assert oracle(["[3]", "1363.0", "August", "(B)", "1,000"], None) == (5, 5)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(["x", "y", "5", "x + 1", "(x, y)", "{", "}"]), min_size=1, max_size=3), st.data()
)
def test_no_relation_breaks_the_strict_rule(sides, data):
    signs = [data.draw(st.sampled_from(["=", "<", "\\approx", "\\in", ",", "\\pm"])) for _ in sides]
    text = "".join(f"{sign} {side} " for sign, side in zip(["", *signs[1:]], sides, strict=True))
    assert strict_same(text, text) is True
    assert strict_same(text, "7") is False


PIECES = st.sampled_from(
    ["1", "2", "30", "0.5", ",", ", ", " ", "x", "-", "+", "/", "^", "{", "}", "(", ")", "[", "]", "=", "<",
     "\\frac", "\\sqrt", "\\boxed{", "\\pm", "\\{", "\\}", "\\cup", "\\text{", " cm", " and ", "$", "%",
     "\\ldots", "\\begin{pmatrix}", "\\end{pmatrix}", "\\\\", "&", "The answer is ", "####", ".", ". ", "\n",
     "\u2212", "\u00bd", "(a)", "(b)", "_", "!", "e5"]
)  # fmt: skip
ANSWER_LIKE = st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=60))


@settings(deadline=None, max_examples=300)
@given(ANSWER_LIKE, st.sampled_from([None, *AnswerKind]))
def test_no_text_breaks_a_rule(text, kind):
    judge(text, Gold("5", kind))
    judge("The answer is " + text, Gold(text, kind))


@settings(deadline=None, max_examples=300)
@given(ANSWER_LIKE)
@example("\\boxed{.}")
@example("\\boxed{. \\}")
def test_a_reference_equals_itself_or_is_hopeless(text):
    """Under `strict` it is right if it states an answer, under `paper` if the rule finds one in it."""
    answer = stated_answer(text)
    if answer:
        verdicts = best_verdicts(Gold(answer, reference=text))
        assert verdicts.strict.correct
        assert verdicts.paper.correct is bool(verdicts.paper.answer)


@settings(deadline=None, max_examples=200)
@given(ANSWER_LIKE, ANSWER_LIKE)
def test_the_strict_rule_does_not_depend_on_which_of_two_is_gold(one, other):
    assert strict_same(one, other) is strict_same(other, one)


REFERENCES = [
    ("The answer is \u22122.", "-2"),
    ("The answer is $\\frac{5}{4}$.", "5/4"),
    ("The answer is $d = 5$.", "$d = 5$"),
    ("The answer is $x = - 4,8$.", "$x = -4, 8$"),
    ("The answer is (a) $x^{\\frac{1}{7}}$ (b) $y$.", "(a) $x^{\\frac{1}{7}}$ (b) $y$"),
    ("The answer is 17%.", "17%"),
    ("The answer is Option D.", "Option D"),
    ("#### 72", "72"),
    ("We find $\\boxed{120^\\circ}.$", "120 degrees"),
]


@pytest.mark.parametrize(("reference", "answer"), REFERENCES)
def test_made_references_equal_themselves(reference, answer):
    gold = Gold(stated_answer(reference), reference=reference)
    verdicts = judge(reference, gold)
    assert verdicts.paper.correct and verdicts.strict.correct
    assert judge(f"The answer is {answer}", gold).strict.correct


# (text, gold, kind, right by MAmmoTH's evaluation): where an earlier reading of it went wrong
PAPER_FACTS = [
    # MATH: two triggers with a space behind them, whatever the case of the first letter; "####" is none
    ("so the answer is 7.", "7", X, True),
    ("The answer is: 7, not 8", "8", X, True),
    ("#### 7", "\\frac{7}{1}", X, True),
    ("#### x + 1", "x+1", X, False),
    ("The answer is $7$.", "7", X, False),
    ("The answer is $\\boxed{7}$.", "7", X, True),
    ("The answer is 7\nand nothing else", "7", X, False),
    ("The answer is 50\\%", "50", X, True),
    ("The answer is 50%", "50", X, False),
    ("The answer is .35625", ".35625", X, True),
    ("The answer is (5)", "5", X, True),
    ("The answer is 2^2", "0", X, True),
    ("The answer is True", "1", X, True),
    ("The answer is 1,000", "1000", X, True),
    ("The answer is 10\\text{ cm}", "10", X, True),
    ("The answer is 2\\frac{1}{2}", "10.5", X, True),
    ("The answer is math.pi", "3.2", X, True),
    ("The answer is \\sqrt\\sqrt2", "\\sqrt\\sqrt{2}", X, True),
    # numbers: of several triggers the last, unless there are two of a kind: then the first paragraph
    ("The answer is 3\n\nThe answer is 4", "3", N, True),
    ("The answer is 3\nThe answer is 4", "4", N, True),
    ("The answer is 3\n\n#### 4", "4", N, True),
    ("The answer is 007", "7", N, True),
    ("The answer is -0", "0", N, True),
    ("The answer is .35625", "35625", N, True),
    ("The answer is (5)", "5", N, True),
    ("The answer is 1e3", "1", N, True),
    ("The answer is 12/", "12", N, True),
    ("The answer is \u0665", "5", N, True),
    ("The answer is 12345678901234567890", "1.2345678901234567e+19", N, True),
    # NumGLUE: "=" comes before letters
    ("The answer is A = 5", "5", L, True),
    ("The answer is 5 = B", "B", L, True),
    ("The answer is a web", "A", L, True),
    # files of other names: the gold answer is read as a response is
    ("The answer is -2", "\u22122", None, False),
    ("The answer is \u22122.", "\u22122", None, True),
    ("The answer is 1.25", "\\frac{5}{4}", None, True),
]


@pytest.mark.parametrize(("text", "gold", "kind", "right"), PAPER_FACTS)
def test_the_papers_rule_is_its_evaluation_to_the_letter(text, gold, kind, right):
    assert judge(text, Gold(gold, kind)).paper.correct is right


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2*3", 7), ("2^3", 1), ("2**10", 1024), ("7/2", 3.5), ("7//2", 3), ("-(3)", -3),
        ("1 < 2 < 3", True), ("(1, 2)", (1, 2)), ("[3]", [3]), ("math.sqrt(16)", 4.0), ("abs(-3)", 3),
        ("5 if 1 > 2 else 6", 6), ("0 or 4", 4),
    ],
)  # fmt: skip
def test_python_arithmetic_has_a_value(text, value):
    assert evaluate(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "x", "1/0", "__import__('os')", "(1).__class__", "[x for x in (1,)]", "9**9**9", "1 << 10**9",
     "round(1, -10**9)", "'a' * 10**9", "math.factorial(10**9)", "(" * 500, "-" * 9000 + "1", "5 5",
     "f'{1}'", "lambda: 1", "'%s' % 1", "\0", "{}"],
)  # fmt: skip
def test_what_is_no_bounded_arithmetic_has_none(text):
    with pytest.raises(ValueError):
        evaluate(text)


@pytest.mark.parametrize(
    ("gold", "kind"),
    [("5", N), ("-1,234.5", N), ("3/4", N), ("B", L), ("(C)", L), ("x^2", X), ("August", X), ("F", X)],
)
def test_the_kind_follows_from_the_gold_answer(gold, kind):
    assert kind_of_answer(gold) is kind


def test_an_answer_without_value_is_empty():
    assert [paper_answer("The answer is none", kind) for kind in (N, L)] == ["", ""]
    assert strict_answer("nothing here") == ""
