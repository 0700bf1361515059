"""What the OpenAPI document says of bulk loads."""

BULK = """\
One customer a line (NDJSON, as `POST /customers` takes them), or CSV whose first line names the columns. Each row is
the customer whole, as its source knows them: what it does not say is gone, what others have said stays. The same row
again changes nothing.

Rows are stored in batches while you send. The answer is a stream of NDJSON: a report a row, at the end a line with the
`summary`. A row that is wrong (no JSON, no customer, longer than 256 kB) is reported and stops nobody. Send it all
again whenever a load did not come to its end.

CSV: an empty cell is not given; a `phone` cell holds whatever people write into one, several numbers too; lists are
JSON text or values parted by `;`; `orders` and `tickets` are JSON text; `attributes.floor` is the field `floor` of the
attributes; columns of one name come together."""
REPORTS = (
    '{"line": 1, "status": "created", "id": "0b3e…", "source": "crm", "external_id": "17"}\n'
    '{"line": 2, "status": "failed", "source": "crm", "external_id": "18", "errors": ["name: field required"]}\n'
    '{"summary": {"rows": 2, "created": 1, "updated": 0, "unchanged": 0, "failed": 1, "dry_run": false, '
    '"complete": true}}\n'
)
EXAMPLE = '{"source": "crm", "external_id": "17", "name": "Иванов Пётр", "phones": ["8 (900) 111-22-33"]}\n'
CSV_EXAMPLE = "source;external_id;name;phone\ncrm;17;Иванов Пётр;8 (900) 111-22-33\n"
