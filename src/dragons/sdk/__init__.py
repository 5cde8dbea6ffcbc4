"""What an agent imports: sessions whose every action is decided, recorded and proven."""
