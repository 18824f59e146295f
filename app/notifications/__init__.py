"""Notifications: what people are told, in their language."""
