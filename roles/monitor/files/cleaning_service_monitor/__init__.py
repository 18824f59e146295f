"""The host monitor: sees that the stack is sick, cures it by the smallest step, and knows when to stop.

Standard library only, so that it works when everything else is broken.
"""
