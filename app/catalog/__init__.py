"""Catalogue: services, extras and quotes."""
