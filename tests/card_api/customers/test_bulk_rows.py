"""Rows of files into rows of tables, or into sentences."""

import pickle
from typing import Any

import orjson
import pytest

from card_api.customers.bulk.columns import ColumnError, columns_by_map, columns_by_name
from card_api.customers.bulk.rows import Checked, How, check_rows
from card_api.customers.bulk.text import RawRow

JSON = How("RU")


def row(line: int = 1, **fields: Any) -> RawRow:
    return RawRow(line, orjson.dumps({"source": "crm", "external_id": str(line), "name": "Иванов"} | fields))


def one(raw: RawRow, how: How = JSON) -> Checked:
    (checked,) = check_rows([raw], how)
    return checked


def csv_row(header: str, record: str, **how: Any) -> Checked:
    columns = columns_by_name(header.split(";"), source_given="source" in how)
    return one(RawRow(2, record.encode()), How("RU", columns=columns, delimiter=";", **how))


class TestErrors:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"{broken", "is not JSON (unexpected character, expected a string key at character 2)"),
            (b"[1]", 'must be a JSON object like {"source": "crm", "external_id": "1", "name": "…"}'),
            (b'{"name": "\xff"}', "is not utf-8 text (byte 11 of the row)"),
        ],
    )
    def test_what_is_no_customer_at_all(self, data: bytes, said: str) -> None:
        checked = one(RawRow(7, data))
        assert (checked.line, checked.rows) == (7, None)
        assert checked.errors[0].startswith(said.split("(")[0])

    def test_each_field_with_its_place_and_without_its_value(self) -> None:
        checked = one(
            row(name="", phones=[{"numbr": "+7 903 123-45-67"}, 5, "x" * 2000], kind="человек", nme="secret")
        )
        assert checked.rows is None
        assert {error.split(":")[0] for error in checked.errors} == {
            "kind",
            "name",
            "phones.0.number",
            "phones.0.numbr",
            "phones.1",
            "phones.2",
            "nme",
        }
        assert not any("903" in error or "secret" in error for error in checked.errors)

    def test_a_failed_row_still_says_who_it_was(self) -> None:
        checked = one(row(name=""))
        assert (checked.source, checked.external_id) == ("crm", "1")

    def test_nul_deep_in_attributes_is_refused_and_the_words_for_it_are_not(self) -> None:
        assert one(row(attributes={"a": [{"b": "x\0"}]})).errors
        assert one(row(attributes={"a": "\\u0000"})).rows is not None

    def test_a_row_that_could_not_be_read_says_why(self) -> None:
        assert one(RawRow(3, b"", "is longer than 256 kB")) == Checked(3, errors=("is longer than 256 kB",))


def test_the_last_row_of_a_customer_counts() -> None:
    first, other, last = check_rows(
        [row(1, external_id="A"), row(2), row(3, external_id="A", name="Петров")], JSON
    )
    assert (first.rows, first.later) == (None, 3)
    assert other.rows is not None and last.rows is not None
    assert last.rows.columns["name"] == "Петров"


def test_the_source_may_be_said_for_all() -> None:
    raw = RawRow(1, b'{"external_id": "1", "name": "A"}')
    assert one(raw).errors == ("source: field required",)
    assert one(raw, How("RU", source="crm")).source == "crm"
    assert one(row(), How("RU", source="other")).source == "crm", "what a row says itself comes first"


def test_it_travels_to_another_process() -> None:
    checked = one(row(phones=["8 903 123-45-67"], orders=[{"number": "1", "title": "x", "amount": 5}]))
    assert pickle.loads(pickle.dumps(checked)) == checked


class TestCsv:
    def test_words_numbers_and_lists(self) -> None:
        checked = csv_row(
            "external_id;name;phone;tags;people;accounts;attributes.этаж;category",
            "7;Рога и копыта;8 (903) 123-45-67, 8 495 123-45-67 доб. 5;a;;;Д-1;3;",
            source="crm",
        )
        assert checked.errors == (
            "has 9 values for 8 columns: a value that holds the delimiter needs quotes",
        )
        checked = csv_row(
            "external_id;name;phone;tags;people;accounts;attributes.этаж;category",
            '7;Рога и копыта;"8 (903) 123-45-67; 8 495 123-45-67 доб. 5";"a; b";Инна Рябова;Д-1;3',
            source="crm",
        )
        assert checked.rows is not None, checked.errors
        columns, children = checked.rows.columns, checked.rows.children
        assert (columns["name"], columns["tags"]) == ("Рога и копыта", ["a", "b"])
        assert columns["attributes"] == {"этаж": "3"}
        assert columns["category"] is None
        assert [(p["e164"], p["extension"]) for p in children["phones"]] == [
            ("+79031234567", None),
            ("+74951234567", "5"),
        ]
        assert children["people"] == [{"name": "Инна Рябова", "role": None}]
        assert children["accounts"][0]["external_id"] == "Д-1"

    def test_lists_as_json(self) -> None:
        orders = '"[{""number"": ""1"", ""title"": ""Роутер""}]"'
        checked = csv_row("source;external_id;name;orders;tags", f'crm;1;A;{orders};"[""a;b""]"')
        assert checked.rows is not None, checked.errors
        assert checked.rows.children["orders"][0]["title"] == "Роутер"
        assert checked.rows.columns["tags"] == ["a;b"]
        assert (
            csv_row("source;external_id;name;orders", "crm;1;A;Роутер")
            .errors[0]
            .startswith("orders: is not JSON")
        )

    def test_windows_1251(self) -> None:
        columns = columns_by_name(["external_id", "name"], source_given=True)
        how = How("RU", source="crm", columns=columns, encoding="cp1251")
        checked = one(RawRow(2, "1,Ёлкин".encode("cp1251")), how)
        assert checked.rows is not None and checked.rows.columns["name"] == "Ёлкин"

    def test_a_line_separator_of_unicode_ends_no_row(self) -> None:
        checked = csv_row("source;external_id;name", "crm;1;A\u2028B\x0cC")
        assert checked.rows is not None and checked.rows.columns["name"] == "A\u2028B\x0cC"


class TestColumns:
    def test_names_that_are_no_fields(self) -> None:
        with pytest.raises(
            ColumnError, match=r"no field 'nmae'. Did you mean name\? The columns may be: kind"
        ):
            columns_by_name(["source", "external_id", "nmae"], source_given=False)

    def test_what_is_missing(self) -> None:
        with pytest.raises(
            ColumnError, match=r"No column is source or external_id. The file has: name, phone."
        ):
            columns_by_name(["name", "phone"], source_given=False)
        assert columns_by_name(["name", "phone", "external_id"], source_given=True) == (
            "name",
            "phones",
            "external_id",
        )

    def test_a_mapping_takes_what_it_names_and_what_is_named_like_a_field(self) -> None:
        header = ["\ufeffИД", "Фамилия", "Имя", "Моб", "Прочее", "name", "tags"]
        mapping = {
            "name": ["фамилия", "Имя"],
            "phone": ["Моб"],
            "external_id": ["ИД"],
            "attributes.x": ["Прочее"],
        }
        assert columns_by_map(header, mapping, source_given=True) == (
            "external_id",
            "name",
            "name",
            "phones",
            "attributes.x",
            None,
            "tags",
        )

    def test_a_mapping_that_fits_nothing(self) -> None:
        with pytest.raises(ColumnError, match=r"There is no column 'ФИО'. The file has: ИД, Имя."):
            columns_by_map(["ИД", "Имя"], {"name": ["ФИО"]}, source_given=True)
        with pytest.raises(ColumnError, match=r"There is no field 'fio' to map to"):
            columns_by_map(["ИД", "Имя"], {"fio": ["Имя"]}, source_given=True)
