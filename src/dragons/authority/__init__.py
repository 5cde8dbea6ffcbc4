"""What an agent may do: capability catalogue, dock, lease, revocation, one decision."""
