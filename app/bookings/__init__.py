"""Bookings: from the request to the end."""
