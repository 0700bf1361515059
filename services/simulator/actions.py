"""AMI actions: what Asterisk 22 answers to those the product uses. Events they cause go the way of all events."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from services.simulator.call import CallOrder, Signal
from services.simulator.channel import Channel
from services.simulator.config import SimCaller, SimulatorError
from services.simulator.engine import Engine
from services.simulator.packets import SYSTEM, USER, Category, headers, packet
from services.simulator.pbx import HINT_STATUS, Pbx
from services.simulator.queues import Member, Queue
from services.simulator.session import Session

VERSION = "22.10.1"
"""Of the Asterisk whose traces the simulator was learnt from."""


@dataclass(frozen=True, slots=True)
class Request:
    """An action as it came: header names in small letters, the first value of each; `variables` all of `Variable`."""

    fields: Mapping[str, str]
    variables: tuple[str, ...]
    session: Session
    engine: Engine

    @property
    def pbx(self) -> Pbx:
        return self.engine.pbx

    def get(self, name: str) -> str:
        return self.fields.get(name.lower(), "")

    @property
    def action_id(self) -> str:
        """The line that ties an answer to its question; empty if none was asked for."""
        value = self.get("ActionID")
        return f"ActionID: {value}\r\n" if value else ""


def success(request: Request, message: str, extra: str = "") -> str:
    """`Response: Success` with a message for people."""
    return f"Response: Success\r\n{request.action_id}Message: {message}\r\n{extra}\r\n"


def bare(request: Request, body: str) -> str:
    """`Response: Success` whose answer is in headers of its own."""
    return f"Response: Success\r\n{request.action_id}{body}\r\n"


def error(request: Request, message: str) -> str:
    """`Response: Error`."""
    return f"Response: Error\r\n{request.action_id}Message: {message}\r\n\r\n"


def listing(
    request: Request,
    message: str,
    items: Iterable[str],
    complete: str,
    extra: Callable[[int], str] = lambda n: "",
) -> str:
    """A list: the answer, its items as events for the asking client only, and the end mark."""
    parts = [f"Response: Success\r\n{request.action_id}EventList: start\r\nMessage: {message}\r\n\r\n"]
    count = 0
    for item in items:
        parts.append(item)
        count += 1
    parts.append(
        f"Event: {complete}\r\n{request.action_id}EventList: Complete\r\nListItems: {count}\r\n{extra(count)}\r\n"
    )
    return "".join(parts)


# ---- about the PBX ---------------------------------------------------------------------------------------------------


def ping(request: Request) -> str:
    return bare(request, f"Ping: Pong\r\nTimestamp: {request.pbx.now:.6f}\r\n")


def events(request: Request) -> str:
    mask = Category.parse(request.get("EventMask"))
    if mask is None:
        return error(request, "Invalid event mask")
    request.session.set_mask(mask)
    return bare(request, f"Events: {'On' if mask else 'Off'}\r\n")


def event_filter(request: Request) -> str:
    if request.get("Operation").lower() != "add":
        return error(request, "Unknown operation")
    if not request.session.add_filter(request.get("Filter")):
        return error(request, "Filter did not compile.  Check the syntax of the filter given.")
    return success(request, "Added new filter")


def core_status(request: Request) -> str:
    started = datetime.fromtimestamp(request.pbx.started, UTC)
    date, time = started.strftime("%Y-%m-%d"), started.strftime("%H:%M:%S")
    pairs = (
        ("CoreStartupDate", date),
        ("CoreStartupTime", time),
        ("CoreReloadDate", date),
        ("CoreReloadTime", time),
        ("CoreCurrentCalls", len(request.engine.open)),
    )
    return bare(request, headers(*pairs))


def core_settings(request: Request) -> str:
    pairs = (
        ("AMIversion", "11.0.0"),
        ("AsteriskVersion", VERSION),
        ("SystemName", ""),
        ("CoreMaxCalls", 0),
        ("CoreMaxLoadAvg", "0.000000"),
        ("CoreRunUser", "asterisk"),
        ("CoreRunGroup", "asterisk"),
        ("CoreMaxFilehandles", 0),
        ("CoreRealTimeEnabled", "No"),
        ("CoreCDRenabled", "Yes"),
        ("CoreHTTPenabled", "No"),
    )
    return bare(request, headers(*pairs))


def list_commands(request: Request) -> str:
    lines = [
        f"{name}: {action.about}  (Priv: {priv(action.needs)})\r\n"
        for name, action in sorted(ACTIONS.items())
        if request.session.may(action.needs)
    ]
    return bare(request, "".join(lines))


def priv(needed: Category) -> str:
    names = [(one.name or "").lower() for one in Category if one in needed and one is not Category.ALL]
    return ",".join([*(name for name in names if name != "none"), "all"]) if needed else "<none>"


def refuse(request: Request) -> str:
    return error(request, "Permission denied")


def user_event(request: Request) -> str:
    name = request.get("UserEvent")
    if not name:
        return error(request, "Missing UserEvent parameter")  # Asterisk sends an event without a name
    skip = ("action", "actionid", "userevent")
    extra = "".join(
        f"{key.capitalize()}: {value}\r\n" for key, value in request.fields.items() if key not in skip
    )
    request.pbx.out.append(packet("UserEvent", USER, f"{request.action_id}UserEvent: {name}\r\n{extra}"))
    return success(request, "Event Sent")


def get_var(request: Request) -> str:
    name = request.get("Variable")
    if not name:
        return error(request, "No variable specified")
    return bare(request, headers(("Variable", name), ("Value", request.pbx.variables.get(name, ""))))


def set_var(request: Request) -> str:
    name = request.get("Variable")
    if not name:
        return error(request, "No variable specified")
    request.pbx.set_global(name, request.get("Value"))
    return success(request, "Variable Set")


# ---- channels --------------------------------------------------------------------------------------------------------


def show_channels(request: Request) -> str:
    def items() -> Iterator[str]:
        for channel in reversed(request.pbx.channels.values()):
            age = int(request.pbx.now - channel.created)
            clock = f"{age // 3600:02d}:{age // 60 % 60:02d}:{age % 60:02d}"
            bridge = channel.bridge.uniqueid if channel.bridge else ""
            yield (
                f"Event: CoreShowChannel\r\n{request.action_id}{channel.block}Application: {channel.app}\r\n"
                f"ApplicationData: {channel.app_data}\r\nDuration: {clock}\r\nBridgeId: {bridge}\r\n\r\n"
            )

    return listing(request, "Channels will follow", items(), "CoreShowChannelsComplete")


def status(request: Request) -> str:
    wanted = request.get("Channel")
    if wanted and wanted not in request.pbx.channels:
        return error(request, "No such channel")

    def items() -> Iterator[str]:
        for channel in reversed(request.pbx.channels.values()):
            if wanted in ("", channel.name):
                yield f"Event: Status\r\nPrivilege: Call\r\n{channel.block}{_status_tail(request, channel)}\r\n"

    return listing(
        request, "Channel status will follow", items(), "StatusComplete", lambda count: f"Items: {count}\r\n"
    )


def _status_tail(request: Request, channel: Channel) -> str:
    group = 0 if channel.endpoint == request.pbx.config.trunk else 2
    return (
        headers(
            ("Type", channel.endpoint.partition("/")[0]),
            ("DNID", channel.dnid),
            ("EffectiveConnectedLineNum", channel.connected_number or "<unknown>"),
            ("EffectiveConnectedLineName", channel.connected_name or "<unknown>"),
            ("TimeToHangup", 0),
            ("BridgeID", channel.bridge.uniqueid if channel.bridge else ""),
            ("Application", channel.app),
            ("Data", channel.app_data),
            ("Nativeformats", "(ulaw)"),
            ("Readformat", "ulaw"),
            ("Readtrans", ""),
            ("Writeformat", "ulaw"),
            ("Writetrans", ""),
            ("Callgroup", group),
            ("Pickupgroup", group),
            ("Seconds", int(request.pbx.now - channel.created)),
        )
        + request.action_id
    )


def bridge_list(request: Request) -> str:
    items = (
        f"Event: BridgeListItem\r\n{request.action_id}{bridge.block}\r\n"
        for bridge in request.pbx.bridges.values()
    )
    return listing(request, "Bridge listing will follow", items, "BridgeListComplete")


def bridge_info(request: Request) -> str:
    bridge = request.pbx.bridges.get(request.get("BridgeUniqueid"))
    if bridge is None:
        return error(request, "Bridge not found")
    start = (
        f"Response: Success\r\n{request.action_id}EventList: start\r\n"
        "Message: Bridge channel listing will follow\r\n\r\n"
    )
    channels = "".join(
        f"Event: BridgeInfoChannel\r\n{request.action_id}{channel.block}\r\n" for channel in bridge.channels
    )
    end = (
        f"Event: BridgeInfoComplete\r\n{request.action_id}EventList: Complete\r\n"
        f"ListItems: {len(bridge.channels)}\r\n{bridge.block}\r\n"
    )
    return start + channels + end


def hang_up(request: Request) -> str:
    channel = request.pbx.channels.get(request.get("Channel"))
    if channel is None:
        return error(request, "No such channel")
    request.engine.signal(channel, Signal.CALLER_GONE)
    return success(request, "Channel Hungup")


def redirect(request: Request) -> str:
    """Sends the caller of an answered call to an agent's extension; anything else is refused in words."""
    channel = request.pbx.channels.get(request.get("Channel"))
    if channel is None:
        return error(request, "Channel does not exist")
    call = next((one for one in request.engine.open.values() if one.channel is channel), None)
    if call is None or channel.bridge is None:
        return error(request, "Redirect failed: the simulator redirects only callers who talk")
    request.engine.signal(channel, Signal.REDIRECT, request.get("Exten"))
    return success(request, "Redirect successful")


def originate(request: Request) -> str:
    if not request.get("Channel"):
        return error(request, "Channel not specified")
    if not request.get("Exten"):
        return error(request, "Extension/Application/Data not specified")
    number = request.get("CallerID")
    name, _, rest = number.rpartition("<")
    shown = SimCaller(rest.rstrip(">"), name.strip().strip('"') or None) if number else None
    try:
        order = CallOrder(
            caller=shown,
            did=request.get("Exten"),
            agent=request.pbx.config.agent(request.get("Channel")),
            uniqueid=request.get("ChannelId") or None,
            action_id=request.get("ActionID") or None,
            timeout=float(request.get("Timeout") or 30000) / 1000,
        )
    except (SimulatorError, ValueError):
        return error(request, "Originate failed")
    if order.uniqueid in {channel.uniqueid for channel in request.pbx.channels.values()}:
        return error(request, "Channel with ChannelId already exists")
    request.engine.place("callback_originate", order)
    return success(request, "Originate successfully queued")


# ---- queues ----------------------------------------------------------------------------------------------------------


def queue_status(request: Request) -> str:
    wanted, member_wanted = request.get("Queue"), request.get("Member")

    def items() -> Iterator[str]:
        for queue in request.pbx.queues.values():
            if wanted not in ("", queue.name):
                continue
            yield f"Event: QueueParams\r\n{queue.params_block()}{request.action_id}\r\n"
            for member in queue.members:
                if member_wanted in ("", member.interface):
                    yield f"Event: QueueMember\r\n{member.answer_block(queue.name)}{request.action_id}\r\n"
            for position, entry in enumerate(queue.waiting, 1):
                channel = entry.channel
                pairs = (
                    ("Queue", queue.name),
                    ("Position", position),
                    ("Channel", channel.name),
                    ("Uniqueid", channel.uniqueid),
                    ("CallerIDNum", channel.number or "unknown"),
                    ("CallerIDName", channel.party or "unknown"),
                    ("ConnectedLineNum", channel.connected_number or "unknown"),
                    ("ConnectedLineName", channel.connected_name or "unknown"),
                    ("Wait", int(request.pbx.now - entry.joined)),
                    ("Priority", 0),
                )
                yield f"Event: QueueEntry\r\n{headers(*pairs)}{request.action_id}\r\n"

    return listing(request, "Queue status will follow", items(), "QueueStatusComplete")


def queue_summary(request: Request) -> str:
    wanted = request.get("Queue")

    def items() -> Iterator[str]:
        for queue in request.pbx.queues.values():
            if wanted not in ("", queue.name):
                continue
            now = request.pbx.now
            pairs = (
                ("Queue", queue.name),
                ("LoggedIn", len(queue.members)),
                ("Available", sum(1 for m in queue.members if m.status == 1 and not m.paused)),
                ("Callers", len(queue.waiting)),
                ("HoldTime", int(queue.hold_time)),
                ("TalkTime", int(queue.talk_time)),
                ("LongestHoldTime", int(max((now - e.joined for e in queue.waiting), default=0))),
            )
            yield f"Event: QueueSummary\r\n{headers(*pairs)}{request.action_id}\r\n"

    return listing(request, "Queue summary will follow", items(), "QueueSummaryComplete")


def _members(request: Request) -> list[tuple[Queue, Member]]:
    queue, interface = request.get("Queue"), request.get("Interface")
    return [
        (one, member)
        for one in request.pbx.queues.values()
        if queue in ("", one.name)
        for member in one.members
        if member.interface == interface
    ]


def queue_pause(request: Request) -> str:
    if not request.get("Interface") or not request.get("Paused"):
        return error(request, "Need 'Interface' and 'Paused' parameters.")
    found = _members(request)
    if not found:
        return error(request, "Interface not found")
    paused = request.get("Paused").lower() in ("true", "yes", "1", "on", "y", "t")
    for queue, member in found:
        request.pbx.pause(queue, member, paused, request.get("Reason"))
    request.engine.wake()
    return success(request, f"Interface {'paused' if paused else 'unpaused'} successfully")


def queue_add(request: Request) -> str:
    name, interface = request.get("Queue"), request.get("Interface")
    if not name:
        return error(request, "'Queue' not specified.")
    if not interface:
        return error(request, "'Interface' not specified.")
    queue = request.pbx.queues.get(name)
    if queue is None:
        return error(request, "Unable to add interface to queue: No such queue")
    if _members(request):
        return error(request, "Unable to add interface: Already there")
    state_interface = request.get("StateInterface") or interface
    if interface not in request.pbx.devices:
        return error(request, "Unable to add interface: the simulator rings only its own phones")
    member = Member(
        interface, state_interface, request.get("MemberName") or interface, int(request.pbx.now), dynamic=True
    )
    member.penalty = int(request.get("Penalty") or 0)
    request.pbx.add_member(queue, member)
    if request.pbx.is_free(state_interface):
        request.pbx.freed.append(state_interface)
    request.engine.wake()
    return success(request, "Added interface to queue")


def queue_remove(request: Request) -> str:
    name = request.get("Queue")
    if not name or not request.get("Interface"):
        return error(request, "Need 'Queue' and 'Interface' parameters.")
    if name not in request.pbx.queues:
        return error(request, "Unable to remove interface from queue: No such queue")
    found = _members(request)
    if not found:
        return error(request, "Unable to remove interface: Not there")
    request.pbx.remove_member(*found[0])
    return success(request, "Removed interface from queue")


def queue_penalty(request: Request) -> str:
    found = _members(request)
    if not found or not request.get("Penalty").isdigit():
        return error(request, "Invalid interface, queuename or penalty")
    for queue, member in found:
        member.penalty = int(request.get("Penalty"))
        request.pbx.member_event("QueueMemberPenalty", queue, member)
    return success(request, "Interface penalty set successfully")


# ---- devices ---------------------------------------------------------------------------------------------------------


def device_states(request: Request) -> str:
    def items() -> Iterator[str]:
        for queue in request.pbx.queues.values():
            yield _device(request, f"Queue:{queue.name}", queue.state)
            for member in queue.members:
                state = "INUSE" if member.paused else "NOT_INUSE"
                yield _device(request, f"Queue:{queue.name}_pause_{member.interface}", state)
        for device in request.pbx.devices.values():
            yield _device(request, device.endpoint, device.state)

    return listing(request, "Device State Changes will follow", items(), "DeviceStateListComplete")


def _device(request: Request, name: str, state: str) -> str:
    return f"Event: DeviceStateChange\r\n{request.action_id}Device: {name}\r\nState: {state}\r\n\r\n"


def extension_states(request: Request) -> str:
    def items() -> Iterator[str]:
        for device in request.pbx.devices.values():
            if device.agent:
                code, text = HINT_STATUS[device.state]
                pairs = (
                    ("Exten", device.agent.extension),
                    ("Context", "internal"),
                    ("Hint", device.endpoint),
                    ("Status", code),
                    ("StatusText", text),
                )
                yield f"Event: ExtensionStatus\r\n{request.action_id}{headers(*pairs)}\r\n"

    return listing(request, "Extension Statuses will follow", items(), "ExtensionStateListComplete")


@dataclass(frozen=True, slots=True)
class Action:
    """How an action is done, which write classes allow it (any one of them), what ListCommands says."""

    do: Callable[[Request], str]
    needs: Category
    about: str


_SHOW = Category.SYSTEM | Category.REPORTING

ACTIONS: Mapping[str, Action] = {
    "BridgeInfo": Action(bridge_info, Category.NONE, "Get information about a bridge."),
    "BridgeList": Action(bridge_list, Category.NONE, "Get a list of bridges in the system."),
    "Command": Action(refuse, Category.COMMAND, "Execute Asterisk CLI Command."),
    "CoreSettings": Action(core_settings, _SHOW, "Show PBX core settings (version etc)."),
    "CoreShowChannels": Action(show_channels, _SHOW, "List currently active channels."),
    "CoreStatus": Action(core_status, _SHOW, "Show PBX core status variables."),
    "DeviceStateList": Action(
        device_states, Category.CALL | Category.REPORTING, "List the current known device states."
    ),
    "Events": Action(events, Category.NONE, "Control Event Flow."),
    "ExtensionStateList": Action(
        extension_states, Category.CALL | Category.REPORTING, "List the current known extension states."
    ),
    "Filter": Action(
        event_filter, Category.SYSTEM, "Dynamically add filters for the current manager session."
    ),
    "Getvar": Action(
        get_var, Category.CALL | Category.REPORTING, "Gets a channel variable or function value."
    ),
    "Hangup": Action(hang_up, Category.SYSTEM | Category.CALL, "Hangup channel."),
    "ListCommands": Action(list_commands, Category.NONE, "List available manager commands."),
    "Originate": Action(originate, Category.ORIGINATE, "Originate a call."),
    "Ping": Action(ping, Category.NONE, "Keepalive command."),
    "QueueAdd": Action(queue_add, Category.AGENT, "Add interface to queue."),
    "QueuePause": Action(queue_pause, Category.AGENT, "Makes a queue member temporarily unavailable."),
    "QueuePenalty": Action(queue_penalty, Category.AGENT, "Set the penalty for a queue member."),
    "QueueRemove": Action(queue_remove, Category.AGENT, "Remove interface from queue."),
    "QueueStatus": Action(queue_status, Category.NONE, "Show queue status."),
    "QueueSummary": Action(queue_summary, Category.NONE, "Show queue summary."),
    "Redirect": Action(redirect, Category.CALL, "Redirect (transfer) a call."),
    "Setvar": Action(set_var, Category.CALL, "Sets a channel variable or function value."),
    "Status": Action(status, Category.SYSTEM | Category.CALL | Category.REPORTING, "List channel status."),
    "UserEvent": Action(user_event, Category.USER, "Send an arbitrary event."),
}

_BY_SMALL_NAME = {name.lower(): action for name, action in ACTIONS.items()}


def answer(request: Request) -> str:
    """The answer to an action of a client that has logged in."""
    name = request.get("Action")
    action = _BY_SMALL_NAME.get(name.lower())
    if action is None:
        return error(
            request,
            f"Invalid/unknown command: {name}. Use Action: ListCommands to show available commands.",
        )
    if not request.session.may(action.needs):
        return error(request, "Permission denied")
    return action.do(request)


def fully_booted(uptime: int) -> str:
    """What a client with `system` hears right after Login."""
    return packet(
        "FullyBooted", SYSTEM, f"Uptime: {uptime}\r\nLastReload: {uptime}\r\nStatus: Fully Booted\r\n"
    ).text
