"""Catalogue: services, extras, quotes."""
