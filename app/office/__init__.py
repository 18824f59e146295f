"""Office: lists, schedules and figures for managers."""
