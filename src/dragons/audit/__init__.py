"""What a stranger does: read an evidence pack, verify it against a pinned root, replay it."""
