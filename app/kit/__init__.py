"""Machinery that every feature shares: database, cache, hashing, limits, logs."""
