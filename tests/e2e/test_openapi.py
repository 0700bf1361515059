"""Schemathesis over the whole OpenAPI document: no 500, every answer as the document says.

How thorough: see `tests/examples.py`.
"""

import asyncio
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from card_api.api_keys.repository import ApiKeyRepository
from card_api.api_keys.service import SCOPES, ApiKeyService
from tests.e2e.conftest import Start
from tests.examples import EXAMPLES

# Each border of each parameter is 5,000 requests: minutes, so only when asked for more than the gate's examples.
PHASES = "examples,coverage,fuzzing" if EXAMPLES > 5 else "examples,fuzzing"
# What is wrong with an answer, not what somebody's taste may be. Not asked: whether each rule of the schema is
# enforced (the numbers in a text are judged by us, not by a pattern); that a method of one path is refused where it is
# another's (`PATCH /customers/bulk` is a customer whose id is no id); wrong keys, which are soon answered 429 (below).
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "use_after_free",
)

# Who signs in has no token yet.
OPEN = {"/api/v1/auth/sign-in"}


@pytest.mark.timeout(600)
async def test_every_answer_is_as_the_document_says(
    start: Start, engine: AsyncEngine, tmp_path: Path
) -> None:
    key = await ApiKeyService(ApiKeyRepository(engine), lambda: datetime.now(UTC)).create(
        "schemathesis", sorted(SCOPES)
    )
    async with start() as stack:
        token = await stack.token("104")
        program = await asyncio.create_subprocess_exec(
            *(Path(sys.executable).parent / "st", "run", f"{stack.address}/openapi.json"),
            *("--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--seed", "1"),
            *("--phases", PHASES, "--continue-on-failure", "--warnings", "off"),
            # Its lines are not JSON as a whole, which is all that Schemathesis can write; tests of its own.
            *("--exclude-path", "/api/v1/customers/bulk"),
            # It ends the very token that asks for everything else.
            *("--exclude-path", "/api/v1/auth/sign-out"),
            # Whoever asks twice gets the better of both: a supervisor's token, and a key that may do everything.
            *("--header", f"Authorization: Bearer {token}", "--header", f"X-API-Key: {key}"),
            # A load that never ends, a stream that waits: not what this is about.
            *("--request-timeout", "20", "--no-color", "--output-sanitize", "true"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "160", "NO_PROXY": "127.0.0.1"},
        )
        told, _ = await program.communicate()
        text = re.sub(r"\n{3,}", "\n\n", told.decode())
        assert program.returncode == 0, text[-20_000:]


async def test_nothing_is_open_to_who_has_no_key(start: Start) -> None:
    async with start() as stack:
        document = (await stack.http.get("/openapi.json")).json()
        tried = []
        for path, item in document["paths"].items():
            for method in item:
                if item[method].get("security", True) and path not in OPEN:
                    answer = await stack.http.request(method, re.sub(r"\{[^}]+\}", "1", path))
                    tried.append(path)
                    assert answer.status_code in (401, 403), f"{method} {path}: {answer.status_code}"
        assert len(tried) > 50
