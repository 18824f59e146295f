"""Staff: cleaners, working hours, days off, free slots."""
