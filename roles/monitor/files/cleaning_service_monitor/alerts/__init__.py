"""Alerts: a file for each message and channel until a short-lived child process has delivered it."""
