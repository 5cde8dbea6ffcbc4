"""Dispatchers: what starts and stops the instances that a node was ordered to run."""
