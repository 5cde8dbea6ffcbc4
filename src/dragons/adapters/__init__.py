"""What implements the ports of control: stores and key files."""
