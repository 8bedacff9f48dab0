"""The same rows in any container are the same pool, and what is no row is refused with its line."""

import csv
import gzip
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import memory_of_reading, write_jsonl
from utils.config.schema import DataConfig
from utils.data import dataset_rows
from utils.data.formats import Example
from utils.data.pool import Pool
from utils.data.settings import data_problems

HEADER = b"instruction,output\n"
ROW = b'{"instruction": "a", "output": "b"}'
ROWS = [{"instruction": "a", "output": "b"}, {"instruction": "c", "output": "d"}]


def pool_of(path: Path, **data: Any) -> Pool:
    return Pool(DataConfig(path=str(path), **data))


def refusal(path: Path, content: bytes, **data: Any) -> str:
    path.write_bytes(content)
    with pytest.raises(ValueError) as refused:
        pool_of(path, **data)
    return str(refused.value)


TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "2024-01-05",
        'say "no", or\nyes',
        "a\u2028b\x85c",
        "\r",
        "a\r\nb",
        "1.0",
        "1e400",
        "null",
        " ",
        "\ufeffx",
        "\0",
    ]
)
COLUMNS = {  # kind -> (values, type in Parquet)
    "text": (TEXT, pa.string()),
    "integer": (st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "large integer": (st.integers(-(10**60), 10**60), pa.decimal256(76, 0)),
    "float": (st.floats(width=64) | st.sampled_from([1.0, -0.0, 1e22, 5e-324]), pa.float64()),
    "boolean": (st.booleans(), pa.bool_()),
    "list": (st.lists(st.integers(0, 9), max_size=2), pa.list_(pa.int64())),
    "object": (st.fixed_dictionaries({"k": st.integers(0, 9)}), pa.struct({"k": pa.int64()})),
}


@st.composite
def tables(draw) -> tuple[list[str], list[pa.DataType], list[dict[str, Any]]]:
    """(columns, their types, rows): every column of one kind, as Parquet has it, with gaps."""
    names = draw(st.permutations(["instruction", "input", "output", "source", "other"]))
    kinds = [draw(st.sampled_from(sorted(COLUMNS) + ["text"] * 8)) for _ in names]
    values = [st.none() | COLUMNS[kind][0] for kind in kinds]
    rows = draw(st.lists(st.tuples(*values), min_size=1, max_size=4))
    return names, [COLUMNS[kind][1] for kind in kinds], [dict(zip(names, row, strict=True)) for row in rows]


def cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    return value if isinstance(value, str) else repr(value)


def write_everywhere(
    folder: Path, names: list[str], types: list[pa.DataType], rows: list[dict[str, Any]]
) -> list[Path]:
    import datasets

    write_jsonl(folder / "rows.jsonl", rows)
    (folder / "rows.json").write_text(
        json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8", newline=""
    )
    (folder / "lines.json").write_text("\n".join(map(json.dumps, rows)))
    containers = [folder / "rows.jsonl", folder / "rows.json", folder / "lines.json"]
    values = [value for row in rows for value in row.values()]
    if not any(
        isinstance(value, (list, dict)) or value in (float("inf"), -float("inf")) or value != value
        for value in values
    ):
        with open(folder / "rows.csv", "w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file).writerows([names, *([cell(value) for value in row.values()] for row in rows)])
        containers.append(folder / "rows.csv")
    schema = pa.schema(list(zip(names, types, strict=True)))
    table = pa.Table.from_pylist(rows, schema)
    pyarrow.parquet.write_table(table, folder / "rows.parquet")
    datasets.Dataset(table).save_to_disk(folder / "saved")
    return [*containers, folder / "rows.parquet", folder / "saved"]


def outcome(path: Path, **data: Any) -> Any:
    try:
        pool = pool_of(path, **data)
    except ValueError as error:
        return str(error).replace(str(path), "PATH")
    return pool.fingerprint, list(pool), pool.source_names, pool.source_codes.tolist(), pool.excluded.tolist()


@settings(max_examples=25)
@given(table=tables())
def test_same_rows_are_the_same_pool_in_every_container(tmp_path_factory, table):
    folder = tmp_path_factory.mktemp("containers")
    names, types, rows = table
    first, *others = write_everywhere(folder, names, types, rows)
    for invalid_rows in ("drop", "error"):
        expected = outcome(first, invalid_rows=invalid_rows)
        for path in others:
            assert outcome(path, invalid_rows=invalid_rows) == expected, path
            if not isinstance(expected, str):  # rows written out again are the rows that were read
                pool = pool_of(path, invalid_rows=invalid_rows)
                lines = [pool.line(row) for row in range(len(pool))]
                assert not any(b"\n" in line for line in lines)
                (folder / "again.jsonl").write_bytes(b"\n".join(lines))
                assert outcome(folder / "again.jsonl", invalid_rows=invalid_rows) == expected, path


def test_fingerprints_of_texts_are_those_of_earlier_versions(tmp_path):
    """A changed fingerprint would make every artifact of its users useless."""
    rows = [
        {"instruction": "Add 1 and 2.", "input": "", "output": "3", "source": "sums"},
        {
            "instruction": "Name the ü\u2028in it.",
            "input": "on\ntwo lines",
            "output": 'u, "umlaut"',
            "source": "words",
        },
        {"instruction": "No source.", "output": "None."},
        {"instruction": None, "output": "no question", "source": "1.0"},
        {"instruction": "no answer", "input": None, "output": " ", "source": None},
    ]
    path = write_jsonl(tmp_path / "pool.jsonl", rows)
    of_three = "ced379a655de0300515a0c6e86b8af445014f47eaf3cd0fc6443075661e0b0ec"
    of_all = "ee3f79bf6d0efd9db8cb166f5bfb94c85e6e145b0837c352d94fdf39cfdc4d92"
    assert pool_of(path, limit=3).fingerprint == of_three
    assert pool_of(path, invalid_rows="drop").fingerprint == of_all


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_a_number_is_its_text_as_written(tmp_path, suffix):
    numbers = ["7", "-0", "1.50", "1e400", "-0.0", "1E+2", "9" * 5000]
    path = tmp_path / f"pool.{suffix}"
    path.write_text(
        "\n".join(f'{{"instruction": "a", "output": {number}, "source": {number}}}' for number in numbers)
    )
    assert [example.response for example in pool_of(path)] == numbers
    path.write_text(
        '{"instruction": "a", "output": true, "source": 1}\n'
        '{"instruction": "a", "output": 0.10, "source": 1.0}'
    )
    assert list(pool_of(path)) == [Example("a", "true", source="1"), Example("a", "0.10", source="1")]


def test_a_parquet_file_that_was_replaced_is_read_anew_whatever_its_time(tmp_path, res_dir):
    """As `tar` and `rsync -t` replace one."""
    path = tmp_path / "rows.parquet"
    for word in ("old", "new"):
        pyarrow.parquet.write_table(pa.table({"instruction": ["a"], "output": [word]}), path)
        os.utime(path, (10**9, 10**9))
        assert [example.response for example in pool_of(path)] == [word]


@pytest.mark.parametrize("end", ["", "\n", "\n\n  \n"])
def test_a_limit_hides_no_blank_line_between_rows(tmp_path, end):
    path = tmp_path / "pool.jsonl"
    row = '{"instruction": "a", "output": "b"}'
    path.write_text(f"{row}\n\n\n{row}{end}")
    for limit in (None, 2, 3, 9):
        with pytest.raises(ValueError, match="line 2"):
            list(pool_of(path, limit=limit))
    path.write_text(f"{row}\n{row}{end}")
    for limit in (None, 2, 3, 9):
        assert len(pool_of(path, limit=limit)) == 2


def test_floats_of_a_parquet_file_are_the_shortest_texts_and_labels_their_names(tmp_path):
    import datasets

    table = pa.table(
        {
            "instruction": pa.array([0.1, None, 2.0], pa.float32()),
            "output": pa.array(["x", "y", "x"]).dictionary_encode(),
            "input": pa.array([0.1, 3.0, -0.0], pa.float64()),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "floats.parquet")
    pool = pool_of(tmp_path / "floats.parquet", invalid_rows="drop")
    assert [(example.instruction, example.input) for example in pool] == [
        ("0.1", "0.1"),
        ("", "3.0"),
        ("2.0", "-0.0"),
    ]
    assert pool.usable_rows.tolist() == [0, 2]

    features = datasets.Features({**dict.fromkeys(["instruction", "output"], datasets.Value("string"))})
    features["source"] = datasets.ClassLabel(names=["algebra", "geometry"])
    labelled = datasets.Dataset.from_dict(
        {"instruction": ["a", "c", "e"], "output": ["b", "d", "f"], "source": [1, 0, -1]}, features
    )
    labelled.to_parquet(str(tmp_path / "labels.parquet"))
    pool = pool_of(tmp_path / "labels.parquet")
    assert [example.source for example in pool] == ["geometry", "algebra", ""]
    assert json.loads(pool.line(0))["source"] == "geometry"


def test_a_saved_folder_is_read_and_its_split_named(tmp_path):
    import datasets

    dataset = datasets.Dataset.from_list(ROWS)
    dataset.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"fit": dataset, "held": dataset.select([1])}).save_to_disk(tmp_path / "two")
    assert list(pool_of(tmp_path / "one", limit=1)) == [Example("a", "b")]
    assert list(pool_of(tmp_path / "two", split="held")) == [Example("c", "d")]
    for folder, data, words in (
        ("two", {}, ["data.split", "'train'", "fit, held"]),
        ("one", {"split": "fit"}, ["data.split", "'fit'", "one dataset"]),
    ):
        with pytest.raises(ValueError) as refused:
            pool_of(tmp_path / folder, **data)
        assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize("name", ["a.csv", "deep/a.csv", "a.jsonl", "a.jsonl.gz", "a.json"])
def test_a_folder_of_text_files_is_not_read_with_guessed_types(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    file = Path("folder", name)
    file.parent.mkdir(parents=True)
    content = (
        b"instruction,output\n007,1.50\n"
        if name.endswith("csv")
        else b'{"instruction": "007", "output": "b"}'
    )
    file.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    pattern = file.with_name("*" + name[name.index(".") :])
    with pytest.raises(ValueError, match=re.escape(f"write {file}, or a pattern such as {pattern}")):
        pool_of(Path("folder"))
    assert [example.instruction for example in pool_of(pattern)] == ["007"]


@pytest.mark.parametrize("name", ["a.tsv", "a.ndjson", "a.jsonl.zip"])
def test_what_is_not_read_by_its_name_is_to_be_written_otherwise(tmp_path, name):
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / name
    if name.endswith("zip"):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.jsonl", json.dumps(ROWS[0]))
    else:
        file.write_text("instruction\toutput\n007\t1" if name.endswith("tsv") else json.dumps(ROWS[0]))
    with pytest.raises(
        ValueError, match=rf"rows of {name} as \.jsonl, \.csv or \.parquet, and name that file"
    ):
        pool_of(tmp_path / "folder")


def test_a_folder_of_parquet_files_is_read(tmp_path):
    pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "train-0.parquet")
    assert list(pool_of(tmp_path)) == [Example("a", "b"), Example("c", "d")]


def test_a_dataset_on_the_hub_is_read_at_its_revision(monkeypatch, capsys):
    import datasets

    asked = []

    def load(*words: Any, **settings: Any) -> Any:
        asked.append((words, settings))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    for reason in (None, "there is no network"):
        monkeypatch.setattr(dataset_rows, "why_no_hub", lambda reason=reason: reason)
        assert len(pool_of(Path("owner/name"), revision="1f2e")) == 2
        note = "note: there is no network: owner/name is read as it was when the hub last answered"
        assert (note in capsys.readouterr().err) == (reason is not None)
    assert asked == [(("owner/name", None), {"split": "train", "revision": "1f2e"})] * 2


def test_a_revision_of_what_lies_here_is_refused(tmp_path):
    file = write_jsonl(tmp_path / "pool.jsonl", ROWS)
    for path in (file, tmp_path):
        (said,) = data_problems(DataConfig(path=str(path), revision="1f2e"))
        assert said.startswith("data.revision: found '1f2e'") and "remove it" in said
    data = DataConfig(path="owner/name", revision="1f2e", validation="owner/other")
    assert data.validation_data is not None and data.validation_data.revision is None


@pytest.mark.parametrize("kind", ["numpy", "arrow", "pandas"])
def test_a_dataset_that_was_saved_with_a_format_is_read_as_any_other(tmp_path, kind):
    import datasets

    datasets.Dataset.from_list(ROWS).with_format(kind).save_to_disk(tmp_path / "saved")
    pool = pool_of(tmp_path / "saved")
    assert list(pool) == [Example("a", "b"), Example("c", "d")]
    assert json.loads(pool.line(1)) == ROWS[1]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "./rows.txt", "a/b/c"])
def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"data\.path: .* does not exist"):
        pool_of(Path(name) if not name.startswith(".") else tmp_path / name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (HEADER + b"a,b\nc\n", "line 3 has 1 cell, the header has 2"),
        (HEADER + b'a,"b\nb"\nc,d,e\n', "line 4 has 3 cells, the header has 2"),
        (HEADER + b'a,b\nc,"d\ne,f\n', "line 3 opens a quote that is never closed"),
        (HEADER + b'a,"b"c\n', "line 2 has a quote out of place"),
        (HEADER + b"a,b\n\nc,d\n", "line 3 is blank"),
        (HEADER + b"a,b\nc,caf\xe9\n", "line 3 is not UTF-8"),
        (b"instruction,output,output\na,b,c\n", "line 1 names the column 'output' 2 times"),
        (b"question,output\na,b\n", "no column 'instruction' (there are 'question', 'output')"),
        (b"instruction;output\na, b;c\n", "line 1 has ';' between"),
        (b"instruction\toutput\na\tb\n", "line 1 has '\\t' between"),
        (b"instruction,output, input\na,b,c\n", "found the column ' input', expected 'input'"),
        (b"instruction,output,Source\na,b,c\n", "set data.source_column='Source'"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (HEADER, "found no rows"),
        (b"", "nothing in the first line"),
        (HEADER.decode().encode("utf-16"), "UTF-16"),
        (HEADER.decode().encode("utf-16-le"), "NUL bytes"),
        (gzip.compress(HEADER, mtime=0), "gzip"),
    ],
)
def test_what_is_no_csv_row_is_refused_with_its_line(tmp_path, content, words):
    path = tmp_path / "pool.csv"
    assert words in (said := refusal(path, content)) and str(path) in said, said


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("last", [b"", b"END", b"ENDENDEND"])
def test_any_line_ends_and_blank_lines_at_the_end_of_a_csv_file(tmp_path, ends, last):
    lines = [b"\xef\xbb\xbfinstruction,output", b"a,b", b'c,"' + b"long, " * 50_000 + b'"']
    (tmp_path / "pool.csv").write_bytes(ends.join(lines) + last.replace(b"END", ends))
    pool = pool_of(tmp_path / "pool.csv")
    assert [example.instruction for example in pool] == ["a", "c"]
    assert pool[1].response == "long, " * 50_000
    assert list(pool_of(tmp_path / "pool.csv", limit=1)) == [Example("a", "b")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"instruction": "a", "output": "b", "output": "c"}', "line 1 holds the key 'output' twice"),
        (ROW + b',\n{"instruction": "c", "output": "d"}', "line 1 is not JSON (Extra data"),
        (ROW + b"\r" + ROW, "line 1 is not JSON (Extra data"),
        (gzip.compress(ROW, mtime=0), "gzip"),
        (ROW.decode().encode("utf-16"), "UTF-16"),
        (b"PAR1" + bytes(10), "Parquet"),
        (b"[" + ROW + b"]", "line 1 holds a list, expected an object with named columns; let the name"),
        (b"[\n" + ROW + b"\n]", "the name of one JSON document end in .json"),
        (b"{\n" + ROW[1:], "the name of one JSON document end in .json"),
        (b"12", "line 1 holds a text or a number"),
        (b"null", "line 1 holds null"),
        (b'{"instruction": ' + b"[" * 100_000, "line 1 is nested too deeply"),
    ],
)
def test_what_is_no_json_line_is_refused(tmp_path, content, words):
    assert words in (said := refusal(tmp_path / "pool.jsonl", content)), said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[\n" + ROW + b",\n" + ROW + b",\n]", "line 4 has a comma before the closing bracket"),
        (b"[\n" + ROW + b"\n" + ROW + b"]", "line 3 has '{', expected a comma"),
        (b"[\n" + ROW, "line 2 is the end of the file, expected a comma"),
        (b"[\n" + ROW + b",\n", "line 3 is the end of the file, expected an object"),
        (b"[" + ROW + b"]\n[]", "line 2 has '[' after the array"),
        (b'[\n{"instruction": "a",\n"output" "b"}]', "line 3 is not JSON"),
        (b'[\n{"instruction": "a",\n"output": "b', "line 3 is not JSON (Unterminated string"),
        (b"[" + ROW + b',\n{"n": {"k": 1, "k": 2}}]', "line 2 holds the key 'k' twice"),
        (b"[" + ROW + b",\n\n" + b'{"instruction": "caf\xe9"}]', "line 3 is not UTF-8"),
        (b'["a"]', "expected an object"),
        (b"[]", "found no rows"),
        (b"{}", "there are none"),
        (b"", "found no rows"),
    ],
)
def test_what_is_no_json_array_of_rows_is_refused_with_its_line(tmp_path, content, words):
    assert words in (said := refusal(tmp_path / "pool.json", content)), said


@pytest.mark.parametrize("content", [b"", b"PAR", ROW, b"PAR1" + bytes(20)])
def test_what_is_no_whole_parquet_file_is_refused(tmp_path, content):
    assert "not a whole Parquet file" in refusal(tmp_path / "pool.parquet", content)


def test_a_parquet_file_without_rows_is_refused_as_any_other(tmp_path):
    table = pyarrow.table({"instruction": pyarrow.array([], pyarrow.string())})
    pyarrow.parquet.write_table(table, tmp_path / "pool.parquet")
    with pytest.raises(ValueError, match=r"pool\.parquet: found no rows, expected some"):
        pool_of(tmp_path / "pool.parquet")


@settings(max_examples=30)
@given(rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6), chunk=st.integers(1, 40))
def test_a_json_document_does_not_depend_on_how_much_is_read_at_once(tmp_path_factory, rows, chunk):
    from utils.data import json_rows

    path = tmp_path_factory.mktemp("chunks") / "pool.json"
    values = [{"instruction": "x" + one, "output": "y" + other, "n": [1.5, True]} for one, other in rows]
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False), encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_CHUNK", chunk)
        assert [(example.instruction, example.response) for example in pool_of(path)] == [
            ("x" + one, "y" + other) for one, other in rows
        ]


def test_columns_name_different_columns_that_are_there(tmp_path):
    path = write_jsonl(
        tmp_path / "pool.jsonl", [{"instruction": None, "output": "b"}, {"output": "b"}, *ROWS]
    )
    assert pool_of(path, invalid_rows="drop").usable_rows.tolist() == [2, 3], (
        "a column that a row lacks is null there"
    )
    for columns, words in (
        ({"input": "context"}, "no column 'context'"),
        ({"instruction": "question"}, "no column 'question'"),
        ({"instruction": "output"}, "instruction and output are both read from column 'output'"),
    ):
        with pytest.raises(ValueError, match=words):
            pool_of(path, invalid_rows="drop", columns=columns)


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_large_text_file_stays_on_disk(tmp_path, suffix):
    """20 MB in rows of 1 kB take less than half of that besides what opening a small pool takes."""
    path = tmp_path / f"pool.{suffix}"
    answer = "x" * 1000
    with open(path, "w") as file:
        file.write("instruction,output\n" if suffix == "csv" else "[")
        for row in range(20_000):
            comma = "," if row else ""
            file.write(
                f"{row},{answer}\n"
                if suffix == "csv"
                else f'{comma}{{"instruction": {row}, "output": "{answer}"}}\n'
            )
        file.write("" if suffix == "csv" else "]")
    assert memory_of_reading(path, tmp_path / "res", 20_000) < 10_000, "kB"
