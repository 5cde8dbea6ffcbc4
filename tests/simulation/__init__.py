"""A deterministic simulation of the control plane, its nodes and its agents, in virtual time."""
