"""Agents in other processes: messages, episodes, faults, the clients and servers of other projects."""
