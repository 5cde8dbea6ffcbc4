"""What every mechanism shares: names, bytes, hashes, keys, signed statements, time, vocabulary."""
