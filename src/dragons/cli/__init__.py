"""The command line: `dragons NOUN VERB`, one file per group of commands."""
