"""Who an agent is: manifests, versions, keys on the record, workload tokens, proof of possession."""
