"""One file per noun: its operations and the thin functions that answer them."""
