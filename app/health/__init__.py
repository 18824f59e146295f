"""Health: liveness, readiness, the summary and the registration canary."""
