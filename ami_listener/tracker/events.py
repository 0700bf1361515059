"""The AMI events that the tracker reads; everything else may be dropped unparsed."""

# Each name costs parsing time at every occurrence, so an event is here only if a decision needs it. Left out on
# purpose: VarSet and Newexten (60 % of the bytes, and invisible with read=call,agent; of VarSet the connection asks for
# those variables that the settings list, and for none without them), DialState (DialBegin says it
# earlier), AgentCalled (DialBegin again), NewConnectedLine, BridgeCreate/Destroy/Merge (channels enter and leave
# one by one all the same), AgentComplete (a Hangup or a transfer says it better), Cdr.
WANTED: frozenset[str] = frozenset(
    {
        # channels come, change, go
        "Newchannel",
        "Newstate",
        "NewCallerid",
        "Rename",
        "HangupRequest",
        "Hangup",
        # who rings, and how that ended
        "DialBegin",
        "DialEnd",
        "OriginateResponse",
        # queues
        "QueueCallerJoin",
        "QueueCallerLeave",
        "QueueCallerAbandon",
        "AgentConnect",
        "AgentRingNoAnswer",
        # who talks with whom
        "BridgeEnter",
        "BridgeLeave",
        "Hold",
        "Unhold",
        # calls that change hands
        "BlindTransfer",
        "AttendedTransfer",
        "Pickup",
        "ParkedCall",
        "ParkedCallTimeOut",
        # what the caller and the dialplan tell us
        "DTMFEnd",
        "UserEvent",
    }
)
