"""What an agent did: receipts, their chain, the Merkle log, checkpoints, payload commitments."""
