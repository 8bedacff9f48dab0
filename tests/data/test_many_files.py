"""Several files are the pool of one: numbered over the files in their order, each error in its file."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.conftest import memory_of_reading, write_jsonl
from utils.config.schema import DataConfig
from utils.data import pool as pool_module
from utils.data import unpacking
from utils.data.pool import Pool
from utils.data.settings import data_problems

TEXTS = [
    "two\r\nlines",
    "🧮 = 3 😀",
    "מה זה שלוש ועוד ארבע?",
    "ما هو \u202bالجواب\u202c؟",
    'say "no", or yes',
    "a\u2028b\x85c",
    "\ufeffnot a mark",
    "plain",
    "Zoë & naïve Ångström",
]
ROWS = [{"instruction": f"{number}: {text}", "output": text} for number, text in enumerate(TEXTS)]


def pool_of(*entries: Any, **data: Any) -> Pool:
    path = str(entries[0]) if len(entries) == 1 else [entry_of(entry) for entry in entries]
    return Pool(DataConfig.model_validate({"path": path, **data}))


def entry_of(entry: Any) -> Any:
    return {**entry, "path": str(entry["path"])} if isinstance(entry, dict) else str(entry)


def refusal(*entries: Any, **data: Any) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        pool_of(*entries, **data)
    return str(refused.value)


def lines_of(rows: list[dict[str, Any]], ends: str = "\n") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + ends for row in rows).encode()


def csv_of(rows: list[dict[str, Any]]) -> bytes:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    records = [",".join(rows[0]), *(",".join(map(cell, row.values())) for row in rows)]
    return "\ufeff".encode() + "\r\n".join(records).encode()


def zstd(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows in the container that the name says, in Windows' ways where text has such."""
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
        return path
    if not path.suffix:
        import datasets

        datasets.Dataset.from_list(rows).save_to_disk(path)
        return path
    contents = {
        ".jsonl": lambda: "\ufeff".encode() + lines_of(rows, "\r\n"),
        ".json": lambda: json.dumps(rows, indent=1, ensure_ascii=False).replace("\n", "\r\n").encode(),
        ".csv": lambda: csv_of(rows),
    }
    packed = {".gz": lambda content: gzip.compress(content, mtime=0), ".zst": zstd}
    suffix, *packings = path.suffixes
    content = contents[suffix]()
    for packing in packings:
        content = packed[packing](content)
    path.write_bytes(content)
    return path


NAMES = (
    "a.jsonl",
    "b.json",
    "c.csv",
    "d.jsonl.gz",
    "e.jsonl.zst",
    "f.csv.zst",
    "g.json.gz",
    "h.parquet",
    "saved",
)


@pytest.fixture
def files(tmp_path, res_dir) -> list[Path]:
    """A row of ROWS in each kind of container."""
    return [write(tmp_path / name, [row]) for name, row in zip(NAMES, ROWS, strict=True)]


def test_files_of_any_containers_are_the_pool_of_one_file(files, tmp_path):
    whole = write_jsonl(tmp_path / "whole.jsonl", ROWS)
    together = pool_of(*files)
    assert together.fingerprint == pool_of(whole).fingerprint
    assert list(together) == list(pool_of(whole)) and together[5] == pool_of(whole)[5]
    assert [json.loads(together.line(row)) for row in range(len(ROWS))] == ROWS
    assert together.line(3) == lines_of(ROWS[3:4]).strip(), "byte for byte"
    assert list(together.column("output")) == TEXTS
    assert [together.origin_of(row) for row in (0, 8)] == [f"{files[0]}, row 0", f"{files[8]}, row 0"]
    for limit in (1, 4, 8, 9, 20):
        assert pool_of(*files, limit=limit).fingerprint == pool_of(whole, limit=limit).fingerprint


def test_the_source_of_a_file_is_that_of_a_column(files, tmp_path):
    sources = ["words", "sums", "words", *["rest"] * 6]
    with_column = [{**row, "source": name} for row, name in zip(ROWS, sources, strict=True)]
    whole = pool_of(write_jsonl(tmp_path / "whole.jsonl", with_column))
    # One file says its source itself, in a column; another has a list there, which its entry's name replaces.
    write(files[0], with_column[:1])
    write_jsonl(files[1].with_suffix(".jsonl"), [{**ROWS[1], "source": ["a", "b"]}])
    entries = [{"path": path, "source": name} for path, name in zip(files, sources, strict=True)]
    together = pool_of(files[0], {"path": files[1].with_suffix(".jsonl"), "source": "sums"}, *entries[2:])
    assert together.fingerprint == whole.fingerprint and list(together) == list(whole)
    assert together.source_names == whole.source_names == ["rest", "sums", "words"]
    assert together.source_codes.tolist() == whole.source_codes.tolist()
    assert list(together.column("source")) == sources
    assert json.loads(together.line(2)) == ROWS[2], "the row as it was"
    assert pool_of(*files[1:]).source_names == [""]


def test_a_pattern_is_its_files_sorted_and_a_file_of_that_name_is_itself(tmp_path, res_dir):
    for number in (10, 2, 1):
        write_jsonl(tmp_path / f"part-{number}.jsonl", [{"instruction": str(number), "output": "x"}])
    (tmp_path / "deep").mkdir()
    write_jsonl(tmp_path / "deep/part-3.jsonl", [{"instruction": "3", "output": "x"}])

    def numbers(*entries: Any) -> list[str]:
        return [example.instruction for example in pool_of(*entries)]

    assert numbers(tmp_path / "part-*.jsonl") == ["1", "10", "2"]
    assert numbers(tmp_path / "**/*.jsonl") == ["3", "1", "10", "2"]
    assert numbers(tmp_path / "part-[2].jsonl", tmp_path / "part-1?.jsonl") == ["2", "10"]
    pool = pool_of({"path": tmp_path / "deep/*", "source": "deep"}, tmp_path / "part-1*")
    assert [example.source for example in pool] == ["deep", "", ""]
    assert (
        pool_of(tmp_path / "part-*.jsonl").fingerprint
        == pool_of(*(tmp_path / f"part-{number}.jsonl" for number in (1, 10, 2))).fingerprint
    )
    write_jsonl(tmp_path / "part-*.jsonl", [{"instruction": "star", "output": "x"}])
    assert numbers(tmp_path / "part-*.jsonl") == ["star"]


def test_what_cannot_be_one_pool_is_refused(tmp_path, res_dir):
    first = write_jsonl(tmp_path / "a.jsonl", ROWS)
    assert f"nothing matches the pattern {tmp_path}/*.csv" in refusal(f"{tmp_path}/*.csv")
    assert f"{first} twice" in refusal(first, f"{tmp_path}/*.jsonl")
    (tmp_path / "link.jsonl").symlink_to("a.jsonl")
    assert f"{tmp_path}/link.jsonl twice (first as {first})" in refusal(first, tmp_path / "link.jsonl")
    (tmp_path / "link.jsonl").unlink()
    (tmp_path / "deep").mkdir()
    assert "twice (first as" in refusal(first, f"{tmp_path}/deep/../a.jsonl")
    (tmp_path / "b.jsonl").touch()
    assert f"{tmp_path}/b.jsonl: found no rows" in refusal(first, tmp_path / "b.jsonl")
    assert "b.jsonl.gz does not exist" in refusal(first, tmp_path / "b.jsonl.gz")
    data = DataConfig(path=[str(first), str(tmp_path / "c.csv"), f"{tmp_path}/*.json"], split="test")
    assert len(data_problems(data)) == 1 and "nothing matches" in data_problems(data)[0]
    data = DataConfig(path=[str(first), str(tmp_path / "c.csv"), str(tmp_path / "d.csv")])
    assert [problem.split(" (")[0] for problem in data_problems(data)] == [
        f"data.path: {tmp_path / name} does not exist" for name in ("c.csv", "d.csv")
    ]
    assert "data.split: found 'test'" in data_problems(DataConfig(path=[str(first)], split="test"))[0]
    with pytest.raises(ValueError, match="found source_column 'origin'"):
        DataConfig.model_validate({"path": [{"path": "a.jsonl", "source": "a"}], "source_column": "origin"})


GOOD = b'{"instruction": "a", "output": "b"}\n'
OF_TEXT = {
    "bad.jsonl": (GOOD + b"no row\n", "line 2 is not JSON"),
    "bad.json": (b"[\n" + GOOD + b",\n1]", "line 4 has '1'"),
    "bad.csv": (b"instruction,output\r\na,b\r\nc\r\n", "line 3 has 1 cell"),
    "cut.jsonl": (GOOD * 2 + b'{"instruction": "caf\xe9"}', "line 3 is not UTF-8"),
}
IN_THIRD = {
    **OF_TEXT,
    **{f"{name}.gz": (gzip.compress(content), words) for name, (content, words) in OF_TEXT.items()},
    **{f"{name}.zst": (zstd(content), words) for name, (content, words) in OF_TEXT.items()},
    "utf16.jsonl.gz": (gzip.compress(GOOD.decode().encode("utf-16")), "found a file that is UTF-16"),
    "empty.csv.gz": (gzip.compress(b""), "found nothing in the first line"),
    "twice.jsonl.gz": (gzip.compress(gzip.compress(GOOD)), "compressed by gzip"),
    "plain.jsonl.gz": (GOOD, "found no whole .gz file (BadGzipFile"),
    "plain.jsonl.zst": (GOOD, "found no whole .zst file (OSError"),
    "cut.json.gz": (gzip.compress(GOOD)[:-9], "found no whole .gz file (EOFError"),
    "cut.json.zst": (zstd(GOOD * 99)[:-5], "found no whole .zst file (OSError"),
    "bad.parquet": (b"PAR1", "cannot be read"),
    "bad.txt": (GOOD, "expected a file whose name ends in .jsonl, .json, .csv, .parquet (with .gz or .zst"),
    "half.jsonl": (GOOD + b'{"instruction": "\\ud800", "output": "b"}', "row 1 holds half a surrogate pair"),
    "other.jsonl": (b'{"question": "a", "output": "b"}\n', "no column 'instruction' (there are 'question'"),
    "near.jsonl": (b'{"instruction": "a", "output": "b", "Source": "c"}', "found the column 'Source'"),
}


@pytest.mark.parametrize("name", IN_THIRD)
def test_an_error_names_the_file_and_its_line(tmp_path, res_dir, name):
    content, words = IN_THIRD[name]
    others = [write_jsonl(tmp_path / f"{one}.jsonl", ROWS) for one in ("left", "right")]
    (tmp_path / name).write_bytes(content)
    said = refusal(*others, tmp_path / name)
    assert name in said and words in said and "left.jsonl" not in said and ".cache" not in said, said
    assert not list((res_dir / ".cache/pools").glob("*.tmp"))


def test_rows_that_cannot_be_used_are_named_in_their_file_and_numbered_over_all(tmp_path, res_dir):
    first = write_jsonl(tmp_path / "first.jsonl", ROWS)
    second = tmp_path / "second.csv"
    second.write_text("instruction,output\na,\nb,c\n,d\n")
    third = write_jsonl(tmp_path / "third.jsonl", [ROWS[0], {**ROWS[1], "source": ["a"]}])
    said = refusal(first, second, third).split("\n")
    assert "3 of 14 rows cannot be used (rows count from 0 in each file)" in said[0]
    assert said[1:4] == [
        f"  {second}: no text in 'output': 1 row (0)",
        f"  {second}: no text in 'instruction': 1 row (2)",
        f"  {third}: a list in 'source': 1 row (1)",
    ]
    assert "data.source_column" in said[4]
    pool = pool_of(first, second, third, invalid_rows="drop")
    assert pool.excluded.nonzero()[0].tolist() == [9, 11, 13] and pool[10].response == "c"


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_five_megabytes_is_one_row(tmp_path, res_dir, name):
    long = [{"instruction": "long", "output": "é\n🙂" * 750_000}]
    pool = pool_of(write(tmp_path / name, [*long, *ROWS[:1]]))
    assert [len(example.response.encode()) for example in pool] == [5_250_000, len(ROWS[0]["output"])]
    assert pool[0].response == long[0]["output"]


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


CONVERSATIONS = {
    "an empty answer": [said("user", "a"), said("assistant", ""), said("user", "b"), said("assistant", "c")],
    "the system in the middle": [said("user", "a"), said("system", "b"), said("assistant", TEXTS[0])],
    "two questions in a row": [said("user", TEXTS[1]), said("user", TEXTS[2]), said("assistant", TEXTS[3])],
    "a tool": [said("user", "a"), said("assistant", "call"), said("tool", TEXTS[5]), said("assistant", "c")],
    "five megabytes": [said("user", "a"), said("assistant", "é\n🙂" * 750_000)],
    "a mark": [said("user", TEXTS[6]), said("assistant", TEXTS[6])],
}


@pytest.mark.parametrize("name", NAMES)
def test_turns_are_the_same_in_every_container(tmp_path, res_dir, name):
    """In text files as Windows writes them. A table of texts has the turns as JSON."""
    rows: list[dict[str, Any]] = [{"messages": turns} for turns in CONVERSATIONS.values()]
    if ".csv" in name:
        rows = [{"messages": json.dumps(row["messages"], ensure_ascii=False)} for row in rows]
    pool = pool_of(write(tmp_path / name, rows), format="messages", template="chat")
    conversations = [example.conversation for example in pool]
    assert [list(each.messages) for each in conversations if each] == list(CONVERSATIONS.values())
    assert [sum(each.is_scored) for each in conversations if each] == [2, 1, 1, 2, 1, 1]
    whole = write_jsonl(tmp_path / "whole.jsonl", [{"messages": turns} for turns in CONVERSATIONS.values()])
    assert pool.fingerprint == pool_of(whole, format="messages", template="chat").fingerprint


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A row in which a tool is called."""
    called = {"function": {"name": name, "arguments": arguments}}
    turns = [said("user", "a"), {**said("assistant", ""), "tool_calls": [called]}, said("tool", "b")]
    tool = {"name": name, "parameters": {key: {"type": "text"} for key in arguments}}
    return {"messages": [*turns, said("assistant", "c")], "tools": [tool]}


def test_a_field_that_other_rows_of_a_table_have_is_not_there(tmp_path, res_dir):
    import pyarrow
    import pyarrow.parquet

    rows = [call("add", {"one": 1}), call("join", {"text": "a", "more": ["b"]})]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    pool = pool_of(tmp_path / "rows.parquet", format="messages", template="chat")
    conversations = [example.conversation for example in pool]
    assert [list(each.messages) for each in conversations if each] == [row["messages"] for row in rows]
    assert [list(each.tools) for each in conversations if each] == [row["tools"] for row in rows]
    lines = pool_of(write_jsonl(tmp_path / "rows.jsonl", rows), format="messages", template="chat")
    assert pool.fingerprint == lines.fingerprint


# What is kept of a list


@pytest.fixture
def parsed(monkeypatch) -> list[int]:
    """Grows whenever a pool is parsed. Pools of any size are kept."""
    calls: list[int] = []
    monkeypatch.setattr(pool_module, "_CACHED_FROM", 0)
    monkeypatch.setattr(Pool, "_read_all", lambda self, read=Pool._read_all: (calls.append(1), read(self)))
    return calls


def test_a_list_is_parsed_once_and_again_when_anything_changed(files, parsed):
    whole = [path for path in files if path.suffix != ""]
    texts = [path for path in whole if path.suffix != ".parquet"]
    entries = [*texts[:3], {"path": texts[3], "source": "s"}, *texts[4:]]
    first = pool_of(*entries)
    again = pool_of(*entries)
    assert len(parsed) == 1 and again.fingerprint == first.fingerprint
    assert list(again) == list(first) and again.source_names == first.source_names == ["", "s"]
    assert [again.line(row) for row in range(7)] == [first.line(row) for row in range(7)]
    for other in (texts, [*entries[1:], entries[0]], entries[1:]):
        assert pool_of(*other).fingerprint != first.fingerprint
    assert len(parsed) == 4
    write(texts[4], ROWS[:1])
    assert pool_of(*entries).fingerprint != first.fingerprint and len(parsed) == 5
    assert pool_of(*entries, limit=2).fingerprint == pool_of(*entries, limit=2).fingerprint
    assert len(parsed) == 6
    first, again = pool_of(*whole), pool_of(*whole)
    assert len(parsed) == 7 and len(whole) > len(texts)
    assert list(again) == list(first) and again.fingerprint == first.fingerprint
    assert [again.line(row) for row in range(len(first))] == [first.line(row) for row in range(len(first))]
    pool_of(*files)
    pool_of(*files)
    assert len(parsed) == 9, "a folder that `datasets` saved is not kept"


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstd)])
def test_a_file_packed_in_pieces_is_read_to_its_end(tmp_path, res_dir, suffix, pack):
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(pack(lines_of(ROWS[:3])) + pack(lines_of(ROWS[3:])))
    whole = pool_of(write_jsonl(tmp_path / "whole.jsonl", ROWS))
    assert pool_of(path).fingerprint == whole.fingerprint


def test_more_files_than_a_process_may_open_are_refused(tmp_path, res_dir, monkeypatch):
    paths = [write_jsonl(tmp_path / f"{number}.jsonl", ROWS[:1]) for number in range(3)]
    monkeypatch.setattr("resource.getrlimit", lambda limit: (102, 200))
    assert "found 3 files, which stay open, expected at most 2" in refusal(*paths)


def test_a_compressed_file_is_unpacked_once(tmp_path, res_dir):
    path = write(tmp_path / "a.jsonl.zst", ROWS)
    first = pool_of(path)
    (unpacked,) = (res_dir / ".cache/pools").glob("*.jsonl")
    unpacked.write_bytes(unpacked.read_bytes().replace(b"plain", b"PLAIN"))
    assert pool_of(path)[7].response == "PLAIN"
    unpacked.unlink()
    assert pool_of(path).fingerprint == first.fingerprint
    write(path, ROWS[:3])
    assert len(pool_of(path)) == 3


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_small_file_does_not_fill_the_disk(tmp_path, res_dir, monkeypatch, suffix):
    monkeypatch.setattr(unpacking, "_NEVER_TOO_LARGE", 10_000)
    monkeypatch.setattr(unpacking, "_PIECE", 10_000)
    path = write(tmp_path / f"a.jsonl{suffix}", [{"instruction": "a" * 10_000_000, "output": "b"}])
    assert "unfold into more than" in refusal(path)
    assert not [file for file in (res_dir / ".cache/pools").iterdir() if file.is_file()]


def test_many_rows_of_several_files_stay_on_disk(tmp_path):
    """20 MB in rows of 1 kB take less than half of that, also where they are compressed."""
    rows = "".join(f'{{"instruction": {row}, "output": "{"x" * 1000}"}}\n' for row in range(5_000)).encode()
    (tmp_path / "a.jsonl").write_bytes(rows)
    (tmp_path / "b.jsonl").write_bytes(rows)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(rows, 1))
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(rows + b"\n", 1))
    assert memory_of_reading(tmp_path / "*.jsonl*", tmp_path / "res", 20_000) < 20_000, "kB"


# Formats


def test_questions_and_answers_with_and_without_a_context(tmp_path, res_dir):
    rows = [
        {"question": "a?", "context": "about a", "answer": "b"},
        {"question": "c?", "answer": 4},
        {"question": "e?", "context": None, "answer": "f"},
    ]
    path = write_jsonl(tmp_path / "questions.jsonl", rows)
    pool = pool_of(path, format="question_answer")
    assert [(example.instruction, example.input, example.response) for example in pool] == [
        ("a?", "about a", "b"),
        ("c?", "", "4"),
        ("e?", "", "f"),
    ]
    renamed = [{"q": row["question"], "passage": row.get("context"), "a": row["answer"]} for row in rows]
    columns = {"question": "q", "context": "passage", "answer": "a"}
    other = pool_of(
        write_jsonl(tmp_path / "renamed.jsonl", renamed), format="question_answer", columns=columns
    )
    assert other.fingerprint == pool.fingerprint
    as_alpaca = [{"instruction": x.instruction, "input": x.input, "output": x.response} for x in pool]
    assert pool_of(write_jsonl(tmp_path / "alpaca.jsonl", as_alpaca)).fingerprint == pool.fingerprint
    assert "no column 'answer'" in refusal(
        write_jsonl(tmp_path / "none.jsonl", [{"question": "a"}]), format="question_answer"
    )


TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def test_files_of_several_formats_are_one_pool(tmp_path, res_dir):
    said = [{"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}]
    talk = write_jsonl(tmp_path / "talk.jsonl", [{"messages": TURNS}])
    share = write_jsonl(tmp_path / "share.jsonl", [{"dialogue": said}])
    (tmp_path / "faq.csv").write_text("q,a\ne,f\n")
    shared = {"path": share, "format": "sharegpt", "columns": {"conversations": "dialogue"}}
    asked = {
        "path": tmp_path / "faq.csv",
        "source": "faq",
        "format": "question_answer",
        "columns": {"question": "q", "answer": "a"},
    }
    chat = {"format": "messages", "template": "chat"}
    pool = pool_of(talk, shared, asked, **chat)
    assert [(row.instruction, row.response) for row in pool] == [("a", "b"), ("c", "d"), ("e", "f")]
    assert [row.conversation is None for row in pool] == [False, False, True]
    renamed = {"path": share, "columns": {"messages": "dialogue"}}
    assert "no 'role' in turn 0" in refusal(talk, renamed, **chat)


def test_an_entry_with_a_format_of_its_own_takes_no_columns_of_another(tmp_path, res_dir):
    first = write_jsonl(tmp_path / "first.jsonl", [{"instruction": "a", "answer": "b"}])
    second = write_jsonl(tmp_path / "second.jsonl", [{"question": "c", "answer": "d"}])
    entry = {"path": second, "format": "question_answer"}
    pool = pool_of(first, entry, columns={"output": "answer"})
    assert [row.response for row in pool] == ["b", "d"]
    path = [str(first), entry_of({**entry, "columns": {"output": "answer"}})]
    (problem,) = data_problems(DataConfig(path=path))
    assert "data.columns of format question_answer: unknown name 'output'" in problem
    with pytest.raises(ValueError, match="format sharegpt has turns, found template alpaca"):
        DataConfig.model_validate({"path": [{"path": "a.jsonl", "format": "sharegpt"}]})


def test_a_large_file_is_read_again_in_another_format(tmp_path, res_dir, monkeypatch):
    monkeypatch.setattr(pool_module, "_CACHED_FROM", 0)
    both = {"prompt": "a", "completion": "b", "question": "c", "answer": "d"}
    path = write_jsonl(tmp_path / "both.jsonl", [both])
    other = write_jsonl(tmp_path / "other.jsonl", [ROWS[0]])
    responses = [
        pool_of({"path": path, "format": name}, other)[0].response
        for name in ("prompt_completion", "question_answer", "prompt_completion")
    ]
    assert responses == ["b", "d", "b"]


def test_a_file_of_another_format_is_refused_with_its_name(tmp_path, res_dir):
    talk = write_jsonl(tmp_path / "talk.jsonl", [{"messages": TURNS}])
    share = write_jsonl(tmp_path / "share.jsonl", [{"conversations": [], "id": 1}])
    entry = {"path": share, "source": "s"}
    words = f"{share}: no column 'messages' (there are 'conversations', 'id'): give its entry of data.path"
    assert f"{words} `format: sharegpt`" in refusal(talk, entry, format="messages", template="chat")
    assert "(there are 'messages'): set data.format=messages" in refusal(talk)


def test_no_usable_row_names_each_column_that_is_needed_once(tmp_path, res_dir):
    talk = write_jsonl(tmp_path / "talk.jsonl", [{"messages": []}])
    said = refusal(talk, format="messages", template="chat", invalid_rows="drop")
    assert said.endswith("Expected rows with text in 'messages'")
    asked = {"path": write_jsonl(tmp_path / "a.jsonl", [{"question": "", "answer": ""}])}
    said = refusal(
        talk, {**asked, "format": "question_answer"}, format="messages", template="chat", invalid_rows="drop"
    )
    assert said.endswith("Expected rows with text in 'messages', or in 'question' and 'answer'")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "a"}, "set data.format=prompt_completion data.columns.completion=chosen"),
        ({"prompt": TURNS[:1], "chosen": TURNS[1:]}, "data.format=prompt_completion data.columns.completion"),
        ({"question": "a"}, "data.format=prompt_completion data.columns.prompt=question data.columns.comp"),
        ({"chosen": TURNS}, "set data.format=messages data.columns.messages=chosen"),
        ({"prompt": "a", "chosen": TURNS}, "set data.format=messages data.columns.messages=chosen"),
        ({"prompt": TURNS[:1], "chosen": TURNS}, "set data.format=messages data.columns.messages=chosen"),
        ({"prompt": "a", "chosen": TURNS[1:]}, "with 'chosen' as the last turn"),
        ({"chosen": [{"from": "human"}]}, "set data.format=sharegpt data.columns.conversations=chosen"),
        ({"conversations": [], "chosen": {"from": "gpt"}}, "with 'chosen' as the last turn"),
        ({}, "with the question and 'chosen' in two columns"),
    ],
)
def test_preference_pairs_are_refused_with_the_setting_that_reads_them(tmp_path, res_dir, row, words):
    path = write_jsonl(tmp_path / "pairs.jsonl", [{"chosen": "b", "rejected": "c", **row}])
    said = refusal(path)
    assert f"{path}: found preference pairs" in said and words in said and "\n" not in said


def test_turns_that_wait_for_one_of_two_answers_are_refused_as_a_pair(tmp_path, res_dir):
    """Also where an answer lies further back, which would be taken for the one to train on."""
    rows = [{"messages": [*TURNS, TURNS[0]], "chosen": TURNS[1], "rejected": TURNS[1]}]
    path = write_jsonl(tmp_path / "pairs.jsonl", rows)
    assert "found preference pairs" in refusal(path, format="messages", template="chat")


def test_the_good_response_of_a_pair_can_be_read(tmp_path, res_dir):
    rows = [{"prompt": "a", "chosen": "b", "rejected": "c"}]
    path = write_jsonl(tmp_path / "pairs.jsonl", rows)
    pool = pool_of(path, format="prompt_completion", columns={"completion": "chosen"})
    assert (pool[0].instruction, pool[0].response) == ("a", "b")
    complete = [{"instruction": "a", "output": "d", **rows[0]}]
    assert pool_of(write_jsonl(tmp_path / "complete.jsonl", complete))[0].response == "d"
