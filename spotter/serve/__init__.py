"""The page, the HTTP API, their limits, and the pages for staff."""
