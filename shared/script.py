"""Lua scripts over a link: sent by their hash, loaded when Redis does not know them."""

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from shared.link import Argument, Command, Link


class Script:
    """One script. All its keys must be in one slot."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def command(self, keys: Sequence[str], *arguments: Argument) -> Command:
        """The command that runs it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


async def run_scripts(link: Link, scripts: Sequence[Script], commands: Sequence[Command]) -> list[Any]:
    """The answers to commands made of these scripts, in one round trip. Raises RedisError: then each of them has run
    or has not."""
    answers = await run_each(link, scripts, commands)
    for answer in answers:
        if isinstance(answer, RedisError):
            raise answer
    return answers


async def run_each(link: Link, scripts: Sequence[Script], commands: Sequence[Command]) -> list[Any]:
    """As `run_scripts`, but the RedisError of a command stands in its place. Raises RedisError if nothing could be
    sent."""
    answers = await link.call_all(commands)
    if any(isinstance(answer, NoScriptError) for answer in answers):
        # Redis was restarted and knows none of them, or not all.
        await link.call_all([("SCRIPT", "LOAD", script.text) for script in scripts])
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        again = await link.call_all([commands[at] for at in unknown])
        for at, answer in zip(unknown, again, strict=True):
            answers[at] = answer
    return answers
