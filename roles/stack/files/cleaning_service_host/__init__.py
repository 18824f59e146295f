"""Code shared by the programs on the host: release, monitor and backup. Standard library only."""
