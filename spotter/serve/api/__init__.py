"""The HTTP API: `POST /api/classify`, its batch, health and metrics."""
