"""The HTTP API: who asks, whether they may, and the use case that answers."""
