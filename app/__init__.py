"""The booking API of a cleaning company."""

__version__ = "1.0.0"
