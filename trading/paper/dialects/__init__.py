"""One module per venue: routes, signatures, payloads and error codes over the same engine."""
