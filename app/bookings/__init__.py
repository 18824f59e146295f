"""Bookings and their life cycle."""
