"""Builders that several test folders share: ledgers and evidence packs without a control plane."""
