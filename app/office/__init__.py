"""Office: lists, schedules and key figures for managers."""
