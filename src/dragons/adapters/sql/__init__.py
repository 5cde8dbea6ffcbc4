"""The store on SQL: state by noun, the ledger, and one writer that commits in groups."""
