"""Notifications: messages to people in their language."""
