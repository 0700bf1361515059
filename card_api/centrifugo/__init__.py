"""Centrifugo in the gateway's place: cards go out through its server API, and it asks here who connects.

The desks stay in Redis, written by the same scripts; Centrifugo has channels, connections, history and recovery.
"""
