"""`callcard customers`: files as people have them, into a real database and out again."""

import asyncio
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.cli.encodings import encoding_of, known, splittable
from services.cli.main import application

Run = Callable[..., Result]

BASE = """Код;Фамилия;Имя;Телефон;Моб;Этаж;tags
1;Иванов;Пётр;8 (495) 123-45-67;8 903 123-45-67, жена;3;vip
2;Ёлкина;Анна;;+7 916 000-00-13 (сот.);;
3;"Рога; копыта";;101;;;"vip; долг"
"""
MAPPING = [
    *("--source", "crm", "--map", "external_id=Код", "--map", "name=Фамилия,Имя"),
    *("--map", "phones=Телефон,Моб", "--map", "attributes.этаж=Этаж"),
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Run:
    for name in [name for name in os.environ if name.startswith("CALLCARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CALLCARD_DATABASE__URL", database_url)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(application(arguments), arguments)

    return run


def ask(url: str, statement: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [row[0] for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


@pytest.mark.parametrize(
    ("encoding", "delimiter"), [("utf-8", ";"), ("utf-8-sig", ";"), ("cp1251", ";"), ("utf-16", "\t")]
)
def test_files_as_spreadsheets_write_them(
    run: Run, tmp_path: Path, database_url: str, encoding: str, delimiter: str
) -> None:
    file = tmp_path / "base.csv"
    text = (
        BASE
        if delimiter == ";"
        else BASE.replace(";", "\t").replace("Рога\t", "Рога;").replace("vip\t", "vip;")
    )
    file.write_bytes(text.encode(encoding))
    done = run("customers", "import", str(file), *MAPPING)
    assert done.exit_code == 0, done.output
    assert "3 rows: 3 created." in done.stdout
    assert ask(database_url, "select name from customers order by external_id") == [
        "Иванов Пётр",
        "Ёлкина Анна",
        "Рога; копыта",
    ]
    assert ask(database_url, "select e164 from customer_phones where e164 is not null order by 1") == [
        "+74951234567",
        "+79031234567",
        "+79160000013",
    ]
    assert ask(database_url, "select attributes ->> 'этаж' from customers where external_id = '1'") == ["3"]
    assert ask(database_url, "select tags from customers where external_id = '3'") == [["vip", "долг"]]
    again = run("customers", "import", str(file), *MAPPING)
    assert "3 rows: 3 unchanged." in again.stdout


def test_a_dry_run_and_a_report_that_can_be_corrected_and_loaded(
    run: Run, tmp_path: Path, database_url: str
) -> None:
    file, errors = tmp_path / "base.csv", tmp_path / "failed.csv"
    file.write_text(BASE + "4;;;+79990001122;;;\n5;Петров;Олег;;;;;;\n")
    done = run("customers", "import", str(file), *MAPPING, "--dry-run", "--errors", str(errors))
    assert done.exit_code == 1
    assert done.stdout == "Dry run, nothing was stored. 5 rows: 3 created, 2 failed.\n"
    assert ask(database_url, "select count(*) from customers") == [0]
    assert "+7999" not in done.stderr and "Петров" not in done.stderr
    assert [line for line in done.stderr.splitlines() if "│ 5" in line and "name" in line]
    rows = list(csv.DictReader(errors.open(encoding="utf-8-sig"), delimiter=";"))
    assert (rows[0]["line"], rows[0]["reason"]) == ("5", "name: field required")
    assert rows[0]["Телефон"] == "+79990001122"
    errors.write_text(errors.read_text().replace(";;;+7999", ";Сидоров;;+7999"))
    again = run("customers", "import", str(errors), *MAPPING)
    assert "1 created" in again.stdout, again.output
    assert "Not loaded: line, reason" in again.stderr


def test_ndjson_and_the_way_out_and_in_again(run: Run, tmp_path: Path, database_url: str) -> None:
    file, out = tmp_path / "in.ndjson", tmp_path / "out.ndjson"
    rows = [{"external_id": str(n), "name": f"N {n}", "phones": [f"+7903{n:07}"]} for n in range(250)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "250 created" in run("customers", "import", str(file), "--source", "crm").stdout
    done = run("customers", "export", str(out))
    assert done.stdout == f"250 customers are in {out}.\n", done.output
    assert len(out.read_text().splitlines()) == 250
    assert "250 unchanged" in run("customers", "import", str(out)).stdout
    assert run("customers", "export", "-", "--category", "none").stdout == ""
    as_csv = tmp_path / "out.csv"
    run("customers", "export", str(as_csv))
    assert "250 unchanged" in run("customers", "import", str(as_csv)).stdout
    assert ask(database_url, "select count(*) from audit_log where action like 'customers.%'") == [6]


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        (
            "a.csv",
            "Код;ФИО\n1;A\n",
            ["--source", "x"],
            "No column is external_id or name. The file has: Код, ФИО.",
        ),
        ("a.csv", "external_id;name\n1;A\n", [], "Say --source if all rows are from one system."),
        ("a.csv", "Код;ФИО\n", ["--map", "name=Имя"], "There is no column 'Имя'. The file has: Код, ФИО."),
        ("a.csv", "Код;ФИО\n", ["--map", "fio=ФИО"], "There is no field 'fio' to map to"),
        ("a.csv", "Код;ФИО\n", ["--map", "name"], "write it like --map name=ФИО"),
        ("a.csv", "", [], "There is nothing in it."),
        ("a.json", "[{}]", [], "one JSON list"),
        ("a.ndjson", "{}", ["--map", "name=x"], "--map is for CSV"),
        ("a.csv", "a\n", ["--encoding", "klingon"], "There is no encoding 'klingon'"),
        ("a.csv", "a\n", ["--country", "Russia"], "use two letters"),
        ("a.csv", "a\n", ["--errors", "/nowhere/x.csv"], "cannot be written: no such file"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence(
    run: Run, tmp_path: Path, name: str, content: str, options: list[str], said: str
) -> None:
    file = tmp_path / name
    file.write_text(content)
    done = run("customers", "import", str(file), *options)
    assert done.exit_code == 2
    assert said in done.stderr.replace("\ncallcard: ", " ")
    assert "Traceback" not in done.output


def test_a_file_that_is_not_there(run: Run) -> None:
    assert "nowhere.csv cannot be read: no such file" in run("customers", "import", "nowhere.csv").stderr


def test_ctrl_c_ends_behind_a_batch_and_says_what_is_there(database_url: str, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("CALLCARD_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", "customers", "import", "-", "--source", "crm"],
        env=env | {"CALLCARD_DATABASE__URL": database_url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdin is not None
    n = 0
    header_sent = False
    while not ask(database_url, "select count(*) from customers")[0]:
        rows = "" if header_sent else "external_id;name\n"
        header_sent = True
        rows += "".join(f"{n + k};Customer {n + k}\n" for k in range(3000))
        n += 3000
        process.stdin.write(rows.encode())
        process.stdin.flush()
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(BrokenPipeError):  # it may be gone already
        process.stdin.write("".join(f"{n + k};Customer\n" for k in range(9000)).encode())
    out, err = process.communicate(timeout=40)
    assert process.returncode == 130, err
    assert b"Stopped as you asked" in out
    assert b"Traceback" not in err
    (stored,) = ask(database_url, "select count(*) from customers")
    assert stored < n + 9000
    assert f"{stored:,} rows".encode() in out


class TestEncodings:
    def test_found_out(self) -> None:
        assert encoding_of([b"abc", "Ё".encode()]) == "utf-8"
        assert encoding_of(["Ё".encode()[:1], "Ё".encode()[1:]]) == "utf-8", "a letter may be cut in two"
        assert encoding_of([b"abc", "Ё".encode("cp1251"), b"c"]) == "cp1251"
        assert encoding_of(["Ё".encode("utf-16")]) == "utf-16-le"

    def test_utf16_becomes_what_can_be_split(self) -> None:
        data = "Ё\n".encode("utf-16-le")
        assert b"".join(splittable([data[:1], data[1:]], "utf-16-le")).decode() == "Ё\n"

    def test_names(self) -> None:
        assert known("windows-1251") == "cp1251"
        assert known("klingon") is None
        assert known("utf-7") is None or known("cp037") is None
        assert known("cp037") is None, "EBCDIC has its own line ends"
