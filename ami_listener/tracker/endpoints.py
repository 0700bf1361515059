"""Which end is ours: telling agents' phones, trunks and the rest apart by name and context."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache


class EndpointKind(StrEnum):
    AGENT = "agent"
    TRUNK = "trunk"
    OTHER = "other"


# Channels that no call is made of: sound players, recorders, spies, the SIP MESSAGE queue (which never hangs up).
IGNORED_TECHNOLOGIES = frozenset(
    {
        "Message",
        "Announcer",
        "Recorder",
        "CBAnn",
        "CBRec",
        "ConfBridgeRecorder",
        "Snoop",
        "MulticastRTP",
        "UnicastRTP",
        "OutgoingSpoolFailed",
    }
)
# Channels that stand for another one: they belong to a call but are nobody's phone.
HELPER_TECHNOLOGIES = frozenset({"Local", "AsyncGoto", "Surrogate", "Bridge", "Parking"})
# Cards, ISDN and radio lines: to the outside on every system we know, unless it is an analogue port with our own phone.
LINE_TECHNOLOGIES = frozenset(
    {"DAHDI", "Zap", "Dongle", "Quectel", "Khomp", "mISDN", "CAPI", "vpb", "OOH323", "H323", "Motif"}
)
# Channel types that only telephones use, and what queues call an agent by.
_PHONE_TECHNOLOGIES = frozenset({"SCCP", "Skinny", "Console", "USTM", "Agent"})

# The unique tail that Asterisk adds to a channel name: -0000000b, -1 (DAHDI), with ;1 or ;2 for Local halves.
_TAIL = re.compile(r"-[0-9A-Za-z]{1,16}(?:;[12])?$")
_ZOMBIE = "<ZOMBIE>"

# Words in names of contexts and endpoints, as the usual systems write them. What a channel's context is when the
# channel is new is its endpoint's own `context=`; one seen later may be anywhere in the dialplan.
#
# FreePBX, Issabel, Elastix: from-trunk[-sip-NAME], from-pstn, from-did-direct, from-digital, from-analog, from-zaptel,
#   from-sip-external for lines; from-internal for phones.
# MikoPBX: SIP-TRUNK-34F7CCFE-incoming, SIP-1611151795-incoming, public-direct-dial; all_peers, internal for phones.
# Wazo: ctx-TENANT-incall-UUID, from-extern; ctx-TENANT-internal-UUID. Asterisk GUI, Grandstream: DID_trunk_1; DLPN_1.
_INBOUND_CONTEXT = re.compile(
    r"^(from-(?!internal|queue|phone|user|agent|office|extension|local|lan|inside|sip$|iax$)"
    r"|ext-did|incoming|inbound|incall|public|pstn|trunk|external|outside|provider|did([-_]|$)|in$)"
    r"|[-_](incoming|inbound|incall|in)$|-incall-",
    re.IGNORECASE,
)
# from-internal-xfer and -additional are stations of a FreePBX dialplan that callers from outside pass as well.
_INTERNAL_CONTEXT = re.compile(
    r"^(from-(internal(?!-xfer|-additional)|queue|phone|user|agent|office|extension|local|lan|inside)"
    r"|internal|all_peers|agents?\b|phones?\b|users?\b|extensions?\b|operators?\b|employees\b|local|default-internal"
    r"|office|DLPN_)|^(?!from-).*-internal(-|$)",
    re.IGNORECASE,
)
# Names that are a trunk's wherever its context is; words that may also be a phone's ("sip101", "pat-out").
_TRUNK_NAME = re.compile(r"trunk|provider|gateway|^SIP-\d{7,}$", re.IGNORECASE)
_TRUNK_WORD = re.compile(
    r"(^|[-_.])(gw|pstn|isdn|out|outbound|carrier|sip|voip|pri|e1)([-_.\d]|$)", re.IGNORECASE
)
_SHORT = re.compile(r"^\d{2,6}$")  # an extension; longer ones are phone numbers
_SHORT_TAIL = re.compile(r"(?:^|\D)(\d{2,6})$")
# A MikoPBX phone's browser half: 201-WS.
_WEB_TAIL = re.compile(r"-WS$")
_LONG = re.compile(r"^\+?\d{7,}$")
# What queues call a member by: Local/101@from-queue/n, hint:101@ext-local, and names of device states.
_MEMBER = re.compile(r"^(?:Local/|hint:|Custom:|Agent:)(\d{2,6})(?:@|$)", re.IGNORECASE)


def technology(channel: str) -> str:
    """`PJSIP` of `PJSIP/agent101-0000000b`."""
    return channel.partition("/")[0]


def endpoint_of(channel: str) -> str:
    """Channel name without its unique tail: `PJSIP/agent101-0000000b` is `PJSIP/agent101`."""
    if channel.endswith(_ZOMBIE):
        channel = channel[: -len(_ZOMBIE)]
    tech, _, rest = channel.partition("/")
    if tech in LINE_TECHNOLOGIES and "/" in rest:
        # DAHDI/i1/79001234567-3: the line, not the number that was dialled through it
        return f"{tech}/{rest.partition('/')[0]}"
    return _TAIL.sub("", channel)


def short_number(value: str | None) -> str | None:
    """The value if it is an extension (2-6 digits), else None."""
    return value if value and _SHORT.match(value) else None


def extension(endpoint: str, number: str | None) -> str | None:
    """The extension of an agent's phone.

    One that dials out or is called by Originate shows the company's or the client's number as its own; its name
    ends in the extension mostly.
    """
    if short_number(number):
        return number
    tail = _SHORT_TAIL.search(_WEB_TAIL.sub("", endpoint))
    return tail.group(1) if tail else None


@dataclass(frozen=True)
class EndpointRules:
    """What is known of the PBX. All of it may be empty: then names and contexts are guessed from.

    agents: endpoint (`PJSIP/agent101`) → login of the agent whose phone it is.
    agent_patterns, trunk_patterns: shell-style patterns of endpoints (`PJSIP/provider-*`).
    internal_contexts, inbound_contexts: dialplan contexts, also patterns, of our phones and of the trunks.
    variables: channel variables that are facts of a call, without leading underscores; others are nobody's business.
    normalise: a phone number as E.164, or None if it is none; numbers stay as they come without it.
    """

    agents: Mapping[str, str] = field(default_factory=dict)
    agent_patterns: tuple[str, ...] = ()
    trunk_patterns: tuple[str, ...] = ()
    internal_contexts: tuple[str, ...] = ()
    inbound_contexts: tuple[str, ...] = ()
    variables: frozenset[str] = frozenset()
    normalise: Callable[[str], str | None] | None = None

    def kind(self, endpoint: str, context: str, number: str | None) -> EndpointKind:
        """Whose end is it? `context` and `number` (CallerIDNum) as the PBX showed them when the channel was new."""
        if endpoint in self.agents or _any_match(self.agent_patterns, endpoint):
            return EndpointKind.AGENT
        if _any_match(self.trunk_patterns, endpoint):
            return EndpointKind.TRUNK
        if _any_match(self.internal_contexts, context):
            return EndpointKind.AGENT
        if _any_match(self.inbound_contexts, context):
            return EndpointKind.TRUNK
        return _guess(endpoint, context, short_number(number) is not None)

    def agent(self, endpoint: str, kind: EndpointKind, number: str | None) -> str | None:
        """Login of the agent whose phone it is; without an agents table the extension that the PBX shows for it."""
        login = self.agents.get(endpoint)
        if login is not None:
            return login
        if kind is not EndpointKind.AGENT:
            return None
        return extension(endpoint, number)

    def number(self, raw: str | None) -> str | None:
        """A phone number as E.164 where it is one, verbatim where it is an extension; "" and `s` are None."""
        if not raw:
            return None
        if self.normalise is None or short_number(raw):
            return raw
        return self.normalise(raw) or raw


def _any_match(patterns: tuple[str, ...], value: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)


@lru_cache(maxsize=4096)  # a PBX has as many endpoints; each call asks for two of them
def _guess(endpoint: str, context: str, extension: bool) -> EndpointKind:
    """The surest sign first: the kind of line, the context the administrator gave it, its name, its caller id."""
    tech, _, name = endpoint.partition("/")
    if tech in _PHONE_TECHNOLOGIES or _MEMBER.match(endpoint):
        return EndpointKind.AGENT
    inside = _INTERNAL_CONTEXT.search(context) is not None
    if tech in LINE_TECHNOLOGIES:
        # An analogue port (DAHDI/3) may be a phone; an ISDN span (DAHDI/i1) is a line, whatever its context.
        return EndpointKind.AGENT if inside and name.isdigit() else EndpointKind.TRUNK
    if not inside and _INBOUND_CONTEXT.search(context):
        return EndpointKind.TRUNK
    name = _WEB_TAIL.sub("", name)
    if _SHORT.match(name):
        return EndpointKind.AGENT
    if _TRUNK_NAME.search(name) or _LONG.match(name):
        # A trunk is often named by the number it registers with.
        return EndpointKind.TRUNK
    if inside:
        return EndpointKind.AGENT
    if _TRUNK_WORD.search(name):
        return EndpointKind.TRUNK
    return EndpointKind.AGENT if extension or _SHORT_TAIL.search(name) else EndpointKind.OTHER
