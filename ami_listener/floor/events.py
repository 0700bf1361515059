"""The AMI events and actions that the floor lives on, and what an account needs for them."""

# Left out on purpose: ExtensionStatus (DeviceStateChange says the same of each phone, and does not mix it with DND
# keys), AgentCalled and AgentRingNoAnswer (the phone's state says it rings, and no longer does), AgentDump (comes
# before AgentConnect, so nothing is to be undone), QueueMemberPaused (QueueMemberPause since Asterisk 12.2).
FLOOR_WANTED: frozenset[str] = frozenset(
    {
        "DeviceStateChange",  # class call
        # all others: class agent
        "QueueMemberStatus",
        "QueueMemberAdded",
        "QueueMemberRemoved",
        "QueueMemberPause",
        "QueueMemberPenalty",
        "QueueMemberRinginuse",
        "QueueCallerJoin",
        "QueueCallerLeave",
        "QueueCallerAbandon",
        "AgentConnect",
        "AgentComplete",
    }
)
