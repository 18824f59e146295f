"""What the release program and the monitor share. Standard library only."""
