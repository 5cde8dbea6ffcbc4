"""Requests and responses of the HTTP API, version 1, shared by server, SDK and command line."""
