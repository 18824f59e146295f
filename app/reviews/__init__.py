"""Reviews of completed bookings."""
