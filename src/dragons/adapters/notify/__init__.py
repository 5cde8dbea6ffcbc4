"""Telling people: webhooks, Slack and e-mail, their configuration, and the delivery of the outbox."""
