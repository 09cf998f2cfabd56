"""Websockets of the paper venues, on their REST ports, in the venues' own dialects."""
