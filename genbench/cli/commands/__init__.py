"""What each command takes, and which module does it."""
