"""Rolling releases: replaces the containers one by one, and restores the previous release if the new one fails.

Standard library only. It runs on the server, so a release survives the loss of the operator's connection.
"""
