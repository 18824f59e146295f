"""Backups of the booking service: taken, proven by restoring them, and brought back. Standard library and restic."""
