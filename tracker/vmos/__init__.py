"""The network, its memory, and the session that tracks with it."""
