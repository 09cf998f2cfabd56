"""Telling people: routes, deliveries as rows, channels by apprise."""
