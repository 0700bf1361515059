"""Asking a PBX what is going on now: the input of the tracker's settling after each (re)connect."""

from dataclasses import dataclass

from ami_listener.connection import ActionFailed, AmiConnection
from ami_listener.floor.snapshot import FloorSnapshot
from ami_listener.message import AmiMessage
from ami_listener.tracker.snapshot import PbxSnapshot

# A PBX with thousands of channels writes its list in one go; longer than this it is in trouble.
_LIST_SECONDS = 30.0
# AST_STATE_UP: a channel that may be in a bridge.
_UP = "6"


@dataclass(frozen=True, slots=True)
class PbxState:
    """What the PBX let us read.

    snapshot: None if it does not let this account list its channels; then no call can be settled.
    floor: its queues and phones, as far as they may be seen.
    version: what it calls itself. missing: a sentence for each thing that it refused.
    """

    snapshot: PbxSnapshot | None
    floor: FloorSnapshot
    version: str | None
    missing: tuple[str, ...]


async def read_pbx(connection: AmiConnection) -> PbxState:
    """Read channels, the PBX's own state, phones and queues; what is refused is named, not fatal.

    The list of channels is asked for first and at once: events from then on are newer than it. The queues come last,
    because their counters are those of that moment. Raises ActionTimeout or LinkLost.
    """
    missing: list[str] = []
    channels = await _channels(connection, missing)
    status = await _ask(
        connection,
        "CoreStatus",
        missing,
        "a restart of the PBX looks like a lost link, so calls end as unknown",
    )
    settings = await _ask(
        connection, "CoreSettings", missing, "the version of the PBX is known by its banner only"
    )
    version = settings.get("AsteriskVersion") if settings is not None else None
    devices = await _devices(connection, missing)
    queues = await _list(connection, "QueueStatus", missing, "queues are known from events only")
    snapshot = None
    if channels is not None:
        snapshot = PbxSnapshot(
            channels=tuple(channels),
            queue_entries=tuple(m for m in queues or () if m.event == "QueueEntry"),
            queue_members=tuple(m for m in queues or () if m.event == "QueueMember"),
            booted_at=_booted_at(status),
        )
    floor = FloorSnapshot(None if queues is None else tuple(queues), devices)
    return PbxState(snapshot, floor, f"Asterisk {version}" if version else connection.banner, tuple(missing))


async def _channels(connection: AmiConnection, missing: list[str]) -> list[AmiMessage] | None:
    refused: list[str] = []
    channels = await _list(
        connection, "CoreShowChannels", refused, "calls that were there before are not seen"
    )
    if channels is None:
        # write=call may ask for Status where CoreShowChannels needs write=reporting.
        items = await _list(connection, "Status", [], "")
        if items is not None:
            return [_from_status(item) for item in items if item.event == "Status"]
        missing += refused
        return None
    rows = [item for item in channels if item.event == "CoreShowChannel"]
    if any("BridgeId" not in row and row.get("ChannelState") == _UP for row in rows):
        await _add_bridges(connection, rows, missing)
    return rows


async def _add_bridges(connection: AmiConnection, rows: list[AmiMessage], missing: list[str]) -> None:
    """Who talks with whom, asked for bridge by bridge where the list of channels does not say it."""
    bridges = await _list(connection, "BridgeList", missing, "who talks with whom is known from events only")
    by_uniqueid = {row.get("Uniqueid", ""): row for row in rows}
    for bridge in bridges or ():
        bridge_id = bridge.get("BridgeUniqueid", "")
        if bridge.event != "BridgeListItem" or not bridge_id or bridge.get("BridgeNumChannels") == "0":
            continue
        try:
            members = await connection.action_list(
                "BridgeInfo", timeout=_LIST_SECONDS, BridgeUniqueid=bridge_id
            )
        except ActionFailed:
            continue  # it is over already; its end comes as an event
        for member in members:
            row = by_uniqueid.get(member.get("Uniqueid", ""))
            if member.event == "BridgeInfoChannel" and row is not None:
                row["BridgeId"] = bridge_id


async def _devices(connection: AmiConnection, missing: list[str]) -> tuple[AmiMessage, ...] | None:
    """The states of phones, by the first list that the PBX has and the account may ask for."""
    refused: list[str] = []
    for name in ("DeviceStateList", "PJSIPShowEndpoints", "ExtensionStateList"):
        rows = await _list(
            connection, name, refused, "a phone in no queue is known from its first change only"
        )
        if rows is not None:
            return tuple(rows)
    missing.append(refused[0])
    return None


def _from_status(item: AmiMessage) -> AmiMessage:
    """A `Status` event says the same as a `CoreShowChannel` with one other name."""
    channel = AmiMessage(item)
    channel["BridgeId"] = item.get("BridgeID", "")
    return channel


async def _list(
    connection: AmiConnection, name: str, missing: list[str], consequence: str
) -> list[AmiMessage] | None:
    try:
        return await connection.action_list(name, timeout=_LIST_SECONDS)
    except ActionFailed as error:
        missing.append(f"{name} is refused ({error.answer.get('Message', 'no reason given')}): {consequence}")
        return None


async def _ask(
    connection: AmiConnection, name: str, missing: list[str], consequence: str
) -> AmiMessage | None:
    try:
        return await connection.action(name)
    except ActionFailed as error:
        missing.append(f"{name} is refused ({error.answer.get('Message', 'no reason given')}): {consequence}")
        return None


def _booted_at(status: AmiMessage | None) -> str | None:
    if status is None or "CoreStartupTime" not in status:
        return None
    return f"{status.get('CoreStartupDate', '')} {status['CoreStartupTime']}".strip()
