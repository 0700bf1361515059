"""Phones change their state."""

from datetime import datetime

from ami_listener.floor.state import Room
from ami_listener.floor.words import device_state
from ami_listener.message import AmiMessage


def changed(room: Room, event: AmiMessage, at: datetime) -> None:
    """DeviceStateChange: most are about trunks, keys and queues."""
    found = device_state(event)
    if found is not None and room.is_phone(found[0]):
        room.phone(*found, since=at)
