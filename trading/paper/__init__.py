"""Simulated venues on loopback that answer in the real venues' dialects. No Django here: aiohttp and stdlib.

`python -m trading.paper --data-dir D`, or `trading.paper.server.PaperVenues` inside a test.
"""
