"""Accounts: registration, login and the signed-in user."""
