"""The hands on each machine: what starts, watches and stops an instance."""
