r"""Make the quickstart's data offline: seeded math word problems with worked answers.

    python -m utils.data.synthetic --output_dir res/quickstart_data \
        [--num_examples 4000] [--num_heldout 400] [--seed 0]

The output directory then holds, with one JSON object a line of the keys source, instruction, output:

- ``pool.jsonl``: the examples to select from, shuffled, of sources with very different sizes and difficulty.
- ``heldout.jsonl``: equally many examples of every source. None of their instructions occurs in the pool.
- ``tokenizer/``: a small tokenizer trained on the pool, for models that start from random weights.

The same arguments give the same bytes on every machine. Rows that are there already are left alone.
So the order of the draws below is part of the data.
"""

import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..process import environment  # noqa: F401 (first, for its message)

# isort: split

from ..artifacts.files import atomic_write
from ..config.flags import CommandParser
from .formats import Example
from .templates import alpaca_prompt

Row = dict[str, str]

DRAWS_PER_ROW = 1000

NAMES = "Ada Ben Clara Dario Elif Farid Greta Hugo Ines Jonas Kira Leo Mona Nils Olga Pavel Rosa Sami Zoe"
THINGS = "acorns apples badges beads buttons cards coins cookies marbles pebbles plums shells stamps stickers"
GOODS = "bagels candles cups erasers folders magnets muffins peaches pens postcards"
WARES = "bicycle chair clock desk jacket kettle lamp radio scarf tent"


def phrase(rng: random.Random, templates: Sequence[str], **fields: object) -> str:
    """Fill in one of the templates, with a name, things and a ware drawn for it."""
    name, things, ware = (rng.choice(words.split()) for words in (NAMES, THINGS, WARES))
    return rng.choice(templates).format(name=name, things=things, ware=ware, **fields)


def worked(answer: object, *steps: str) -> str:
    """The output of an example: its steps, one a line, then the line that states the answer."""
    return "\n".join([*steps, f"The answer is {answer}"])


def decimal(hundredths: int) -> str:
    """A non-negative number of hundredths in its shortest decimal form: 1250 is 12.5 and 300 is 3."""
    return f"{hundredths // 100}.{hundredths % 100:02}".rstrip("0").rstrip(".")


def addition_story(rng: random.Random) -> tuple[str, str]:
    gains = (
        "{name} has {a} {things} and gets {b} more. How many {things} does {name} have now?",
        "There are {a} {things} on a shelf and {name} adds {b}. How many {things} are there then?",
        "{name} found {a} {things} on Monday and {b} on Tuesday. How many {things} is that in all?",
    )
    losses = (
        "{name} had {total} {things} and gave away {b}. How many {things} are left?",
        "A box holds {total} {things}. {name} takes out {b}. How many {things} stay in the box?",
        "{name} brought {total} {things} to the fair and sold {b}. How many {things} remain?",
    )
    a = rng.randrange(2, 40)
    b = rng.randrange(2, 40)
    total = a + b
    if rng.random() < 0.5:
        return phrase(rng, gains, a=a, b=b), worked(total, f"{a} + {b} = {total}")
    return phrase(rng, losses, total=total, b=b), worked(a, f"{total} - {b} = {a}")


def comparison(rng: random.Random) -> tuple[str, str]:
    templates = (
        "Which number is {which}, {a} or {b}?",
        "Here are two numbers: {a} and {b}. Name the {which} one.",
        "{name} wrote {a} and then {b}. Which is the {which} number?",
    )
    low = rng.randrange(1, 900)
    high = low + rng.randrange(1, 100)
    a, b = rng.choice(((low, high), (high, low)))
    which, answer = rng.choice((("smaller", low), ("larger", high)))
    return phrase(rng, templates, which=which, a=a, b=b), worked(answer)


def multiplication_story(rng: random.Random) -> tuple[str, str]:
    templates = (
        "{name} fills {groups} boxes with {size} {things} each. How many {things} is that?",
        "{groups} bags hold {size} {things} each. How many {things} does {name} count in total?",
        "{name} collects {size} {things} a day for {groups} days. How many {things} is that altogether?",
    )
    groups = rng.randrange(3, 10)
    tens = 10 * rng.randrange(1, 10)
    ones = rng.randrange(1, 10)
    first = groups * tens
    second = groups * ones
    total = first + second
    steps = (f"{groups} * {tens} = {first}", f"{groups} * {ones} = {second}", f"{first} + {second} = {total}")
    return phrase(rng, templates, groups=groups, size=tens + ones), worked(total, *steps)


def number_sequence(rng: random.Random) -> tuple[str, str]:
    """Terms whose steps are equal or grow evenly, read upwards or downwards."""
    templates = (
        "What number comes next: {terms}?",
        "{name} writes {terms}. Which number follows?",
        "The pattern {terms} goes on. Give the next number.",
    )
    terms = [rng.randrange(1, 150)]
    step = rng.randrange(2, 20)
    growth = rng.randrange(4)
    for _ in range(4):
        terms.append(terms[-1] + step)
        step += growth
    *shown, answer = rng.choice((terms, terms[::-1]))
    return phrase(rng, templates, terms=", ".join(map(str, shown))), worked(answer)


def shopping_change(rng: random.Random) -> tuple[str, str]:
    templates = (
        "{name} buys {m} {one} at {p} dollars each and {n} {two} at {q} dollars each. "
        "How much change from {note} dollars is that?",
        "At the market {m} {one} for {p} dollars each and {n} {two} for {q} dollars each go into a bag. "
        "{name} pays with {note} dollars. What is the change?",
        "{name} needs {m} {one} ({p} dollars apiece) and {n} {two} ({q} dollars apiece). "
        "How much is left from {note} dollars?",
    )
    one = rng.choice(GOODS.split())
    two = rng.choice([good for good in GOODS.split() if good != one])
    m = rng.randrange(2, 7)
    n = rng.randrange(2, 7)
    p_cents = rng.randrange(50, 500, 5)
    q_cents = rng.randrange(50, 500, 5)
    cents = m * p_cents + n * q_cents
    paid = next(value for value in (1000, 2000, 5000, 10000) if value > cents)
    p = decimal(p_cents)
    q = decimal(q_cents)
    first = decimal(m * p_cents)
    second = decimal(n * q_cents)
    total = decimal(cents)
    note = decimal(paid)
    change = decimal(paid - cents)
    steps = (f"{m} * {p} = {first}", f"{n} * {q} = {second}", f"{first} + {second} = {total}")
    instruction = phrase(rng, templates, m=m, one=one, p=p, n=n, two=two, q=q, note=note)
    return instruction, worked(change, *steps, f"{note} - {total} = {change}")


def unit_rate(rng: random.Random) -> tuple[str, str]:
    for_amount = (
        "A train runs {amount} km in {time} hours. How many km does it run in {other} hours?",
        "A pump moves {amount} liters in {time} minutes. How many liters does it move in {other} minutes?",
        "{name} types {amount} words in {time} minutes. At this pace, how many words in {other} minutes?",
    )
    for_time = (
        "A snail crawls {amount} cm in {time} minutes. At this speed, how many minutes do {goal} cm take?",
        "A mill grinds {amount} kg in {time} hours. How many hours does it need for {goal} kg?",
        "{name} reads {amount} pages in {time} days. At this pace, how many days do {goal} pages take?",
    )
    rate = rng.randrange(3, 60)
    time = rng.randrange(2, 10)
    other = rng.choice([n for n in range(2, 13) if n != time])
    amount = rate * time
    goal = rate * other
    step = f"{amount} / {time} = {rate}"
    if rng.random() < 0.5:
        instruction = phrase(rng, for_amount, amount=amount, time=time, other=other)
        return instruction, worked(goal, step, f"{rate} * {other} = {goal}")
    instruction = phrase(rng, for_time, amount=amount, time=time, goal=goal)
    return instruction, worked(other, step, f"{goal} / {rate} = {other}")


def percentage(rng: random.Random) -> tuple[str, str]:
    discounts = (
        "A {ware} costs {base} dollars and is {percent}% off. What is the sale price in dollars?",
        "{name} gets {percent}% off a {ware} priced at {base} dollars. How many dollars does {name} pay?",
    )
    raises = (
        "A {ware} at {base} dollars becomes {percent}% dearer. What is the new price in dollars?",
        "{name} buys a {ware} for {base} dollars and sells it for {percent}% more. What is the new price?",
    )
    templates, operation, sign = rng.choice(((discounts, "-", -1), (raises, "+", 1)))
    percent = rng.randrange(5, 65, 5)
    base = rng.randrange(4, 400)
    part = decimal(base * percent)
    result = decimal(base * (100 + sign * percent))
    steps = (f"{base} * {percent} / 100 = {part}", f"{base} {operation} {part} = {result}")
    return phrase(rng, templates, percent=percent, base=base), worked(result, *steps)


def linear_equation(rng: random.Random) -> tuple[str, str]:
    templates = (
        "Solve for {x}: {equation}",
        "What is {x} when {equation}?",
        "Given {equation}, what is the value of {x}?",
    )
    x = rng.choice("hknptwxyz")
    solution = rng.randrange(1, 31)
    slope = rng.randrange(2, 10)
    other = rng.randrange(2, 7)
    scaled = slope * solution
    shift = rng.randrange(1, scaled)
    if rng.random() < 0.5:
        equation = f"{slope}{x} + {shift} = {scaled + shift}"
        steps = [f"{slope}{x} = {scaled + shift} - {shift} = {scaled}"]
    else:
        equation = f"{slope + other}{x} - {shift} = {other}{x} + {scaled - shift}"
        steps = [f"{slope + other}{x} - {other}{x} = {scaled - shift} + {shift}", f"{slope}{x} = {scaled}"]
    steps.append(f"{x} = {scaled} / {slope} = {solution}")
    return phrase(rng, templates, x=x, equation=equation), worked(solution, *steps)


def missing_average(rng: random.Random) -> tuple[str, str]:
    templates = (
        "Three of four numbers are {a}, {b} and {c}. The mean of all four is {mean}. What is the fourth?",
        "{name} scores {a}, {b} and {c} in three games. What score in the next game makes the mean {mean}?",
        "{name} read {a}, {b} and {c} pages on three days. How many pages on day four give a mean of {mean}?",
    )
    a, b, c, last = (rng.randrange(10, 60) for _ in range(4))
    known = a + b + c
    last += -(known + last) % 4  # so that the mean is a whole number
    total = known + last
    mean = total // 4
    steps = (f"4 * {mean} = {total}", f"{a} + {b} + {c} = {known}", f"{total} - {known} = {last}")
    return phrase(rng, templates, a=a, b=b, c=c, mean=mean), worked(last, *steps)


def equation_system(rng: random.Random) -> tuple[str, str]:
    templates = (
        "Solve {first} and {second}. What is {asked}?",
        "If {first} and {second}, find {asked}.",
        "Two equations hold: {first} and {second}. Give the value of {asked}.",
    )
    x, y = rng.choice(("xy", "ab", "mn", "pq", "uv"))
    small = rng.randrange(2, 8)
    gap = rng.randrange(2, 7)
    x_value = rng.randrange(1, 21)
    y_value = rng.randrange(1, 21)
    total = x_value + y_value
    scaled = small * total
    rest = gap * x_value
    first = f"{small + gap}{x} + {small}{y} = {scaled + rest}"
    second = f"{x} + {y} = {total}"
    steps = [
        f"{small}{x} + {small}{y} = {small} * {total} = {scaled}",
        f"{gap}{x} = {scaled + rest} - {scaled} = {rest}",
        f"{x} = {rest} / {gap} = {x_value}",
    ]
    asked, answer = rng.choice(((x, x_value), (y, y_value)))
    if asked == y:
        steps.append(f"{y} = {total} - {x_value} = {y_value}")
    return phrase(rng, templates, first=first, second=second, asked=asked), worked(answer, *steps)


@dataclass(frozen=True)
class Source:
    """A kind of problem.

    Attributes:
        name: of the source.
        share: of the pool, in thousandths.
        make: draws an instruction and its output.
    """

    name: str
    share: int
    make: Callable[[random.Random], tuple[str, str]]


SOURCES = (
    Source("synthetic/addition_stories", 400, addition_story),
    Source("synthetic/comparisons", 200, comparison),
    Source("synthetic/multiplication_stories", 130, multiplication_story),
    Source("synthetic/number_sequences", 90, number_sequence),
    Source("synthetic/shopping_change", 70, shopping_change),
    Source("synthetic/unit_rates", 45, unit_rate),
    Source("synthetic/percentages", 30, percentage),
    Source("synthetic/linear_equations", 17, linear_equation),
    Source("synthetic/missing_averages", 10, missing_average),
    Source("synthetic/equation_systems", 8, equation_system),
)


def apportion(total: int, shares: Sequence[int]) -> list[int]:
    """Split `total` in proportion to `shares` by largest remainder, with at least one for each share."""
    counts = [1] * len(shares)
    whole = sum(shares)
    for _ in range(total - len(shares)):
        lags = [total * share - whole * count for share, count in zip(shares, counts, strict=True)]
        counts[lags.index(max(lags))] += 1
    return counts


def draw_rows(source: Source, rng: random.Random, count: int, seen: set[str]) -> list[Row]:
    """Make `count` rows of a source whose instructions are not in `seen`, and add these to it.

    Raises: ValueError where a source has too few.
    """
    rows = []
    for _ in range(count):
        for _ in range(DRAWS_PER_ROW):
            instruction, output = source.make(rng)
            if instruction not in seen:
                break
        else:
            found = f"found only {len(rows)} new instructions, expected {count}"
            raise ValueError(f"{source.name}: {found}: ask for fewer examples")
        seen.add(instruction)
        rows.append({"source": source.name, "instruction": instruction, "output": output})
    return rows


def make_rows(num_examples: int, num_heldout: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Make the pool and the held-out rows, both shuffled. No instruction occurs twice in the two together.

    Args:
        num_examples: rows of the pool, divided over `SOURCES` by their shares.
        num_heldout: rows held out, as many of every source: their plain average weighs all alike.
        seed: of all draws. The held-out rows are the same for every `num_examples`.

    Raises:
        ValueError: fewer than one a source, or more different instructions than a source can make.
    """
    least = len(SOURCES)
    if num_examples < least:
        raise ValueError(
            f"num_examples: found {num_examples}, expected {least} or more: make at least one a source"
        )
    if num_heldout != 0 and num_heldout < least:
        raise ValueError(
            f"num_heldout: found {num_heldout}, expected 0 or at least {least}: make at least one a source"
        )
    pool: list[Row] = []
    heldout: list[Row] = []
    seen: set[str] = set()
    counts = apportion(num_examples, [source.share for source in SOURCES])
    for source, count in zip(SOURCES, counts, strict=True):
        # Random digests text itself instead of calling hash(), so PYTHONHASHSEED has no say in the stream.
        rng = random.Random(f"{seed} {source.name}")
        heldout += draw_rows(source, rng, num_heldout // least, seen)
        pool += draw_rows(source, rng, count, seen)
    random.Random(f"{seed} heldout").shuffle(heldout)
    random.Random(f"{seed} pool").shuffle(pool)
    return pool, heldout


def write_rows(path: Path, rows: Sequence[Row]) -> bool:
    """Write the rows as JSON lines, all or nothing. False, and nothing written, if they are there already."""
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if path.is_file() and path.read_bytes() == content.encode():
        return False
    with atomic_write(path) as file:
        file.write(content)
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files. The exit code is 0, or 2 where the arguments cannot be met."""
    parser = CommandParser("Make the quickstart's pool and held-out examples.")
    parser.add_argument("--output_dir", type=Path, required=True, help="where the two files go")
    parser.add_argument("--num_examples", type=int, default=4000, help="rows of the pool")
    parser.add_argument("--num_heldout", type=int, default=400, help="held-out rows, as many a source")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other rows")
    args = parser.parse_args(argv)
    try:
        pool, heldout = make_rows(args.num_examples, args.num_heldout, args.seed)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for name, rows in (("pool.jsonl", pool), ("heldout.jsonl", heldout)):
        path = args.output_dir / name
        outcome = "written" if write_rows(path, rows) else "already there, left alone"
        print(f"{path}: {len(rows)} rows, {outcome}")
    from .small_tokenizer import train_tokenizer  # transformers takes seconds to import

    train_tokenizer(
        [f"{alpaca_prompt(Example(row['instruction'], ''))}{row['output']}" for row in pool],
        args.output_dir / "tokenizer",
    )
    print(f"{args.output_dir / 'tokenizer'}: a tokenizer trained on the pool")
    return 0


if __name__ == "__main__":
    sys.exit(main())
