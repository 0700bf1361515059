"""Whose end is it? Right without any setting on the usual systems."""

import pytest

from ami_listener.tracker.endpoints import EndpointKind, EndpointRules, endpoint_of

AGENT, TRUNK, OTHER = EndpointKind.AGENT, EndpointKind.TRUNK, EndpointKind.OTHER


@pytest.mark.parametrize(
    ("channel", "endpoint"),
    [
        ("PJSIP/agent101-0000000b", "PJSIP/agent101"),
        ("SIP/my-trunk-0000abcd", "SIP/my-trunk"),
        ("PJSIP/SIP-1611151795-00000004", "PJSIP/SIP-1611151795"),
        ("Local/101@from-internal-00000002;1", "Local/101@from-internal"),
        ("DAHDI/i1/79001234567-3", "DAHDI/i1"),
        ("IAX2/office-1234", "IAX2/office"),
        ("SIP/100-0000001f<ZOMBIE>", "SIP/100"),
        ("", ""),
    ],
)
def test_endpoint_is_the_name_without_its_tail(channel: str, endpoint: str) -> None:
    assert endpoint_of(channel) == endpoint


@pytest.mark.parametrize(
    ("endpoint", "context", "number", "kind"),
    [
        # plain pjsip, as in the recordings
        ("PJSIP/agent101", "internal", "101", AGENT),
        ("PJSIP/trunk", "from-pstn", "+79001112233", TRUNK),
        ("PJSIP/alice", "internal", "101", AGENT),
        # FreePBX
        ("PJSIP/100", "from-internal", "100", AGENT),
        ("SIP/1001", "from-internal", "1001", AGENT),
        ("SIP/beeline", "from-trunk-sip-beeline", "+79001112233", TRUNK),
        ("PJSIP/mango-out", "from-pstn", "79001112233", TRUNK),
        ("PJSIP/anonymous", "from-sip-external", "anonymous", TRUNK),
        ("DAHDI/i1", "from-digital", "79001112233", TRUNK),
        # MikoPBX
        ("PJSIP/201", "all_peers", "201", AGENT),
        ("PJSIP/SIP-PROVIDER-34F7CCFE873", "SIP-PROVIDER-34F7CCFE873-incoming", "79001112233", TRUNK),
        ("PJSIP/SIP-1611151795", "SIP-1611151795-incoming", "79001112233", TRUNK),
        ("PJSIP/SIP-TRUNK-1", "default", "101", TRUNK),
        # named by the number it registers with
        ("SIP/74951234567", "default", "79001112233", TRUNK),
        # nothing tells
        ("PJSIP/somebody", "default", None, OTHER),
    ],
)
def test_guess(endpoint: str, context: str, number: str | None, kind: EndpointKind) -> None:
    assert EndpointRules().kind(endpoint, context, number) is kind


def test_settings_win_over_the_guess() -> None:
    rules = EndpointRules(
        agents={"PJSIP/trunk": "anna"},
        agent_patterns=("SIP/provider-*",),
        trunk_patterns=("PJSIP/1*",),
        internal_contexts=("from-pstn-office",),
        inbound_contexts=("from-internal-*",),
    )
    assert rules.kind("PJSIP/trunk", "from-pstn", None) is AGENT
    assert rules.kind("SIP/provider-7", "from-pstn", None) is AGENT
    assert rules.kind("PJSIP/100", "from-internal", "100") is TRUNK
    assert rules.kind("PJSIP/x", "from-pstn-office", None) is AGENT
    assert rules.kind("PJSIP/x", "from-internal-7", None) is TRUNK


def test_agent_is_the_login_or_else_the_extension() -> None:
    rules = EndpointRules(agents={"PJSIP/agent101": "anna"})
    assert rules.agent("PJSIP/agent101", AGENT, "101") == "anna"
    assert rules.agent("PJSIP/agent102", AGENT, "102") == "102"
    # a phone called by Originate shows the client's number
    assert rules.agent("PJSIP/agent102", AGENT, "+79003334455") == "102"
    assert rules.agent("PJSIP/alice", AGENT, None) is None
    assert rules.agent("PJSIP/trunk12", TRUNK, "12") is None
