"""Dragons governs autonomous agents and proves what they did."""

__version__ = "0.1.0"
