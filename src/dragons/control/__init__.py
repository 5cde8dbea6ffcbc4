"""The control plane's use cases, one file each, written against the ports in `ports.py`."""
