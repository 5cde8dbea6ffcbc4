"""Playbooks: a plain service that is run, diagnosed, restarted and reported on, under a lease."""
