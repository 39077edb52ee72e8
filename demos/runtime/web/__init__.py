"""Local web pages: a server on this machine, live images by a websocket, and rules of access."""
