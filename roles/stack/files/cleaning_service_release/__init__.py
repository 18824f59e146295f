"""Brings what the playbook wants into service, one container after the other, and back when it does not work.

Standard library only. Runs on the server, so a release ends well whatever becomes of the laptop that began it.
"""
