"""Prometheus metrics: counts of what the app did, in the text format."""

import bisect
from collections import Counter

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Upper bounds in seconds; a picture takes some ten milliseconds, and a full queue some seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts requests by route and status, pictures by outcome and by how long they took. For one thread."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.pictures: Counter[str] = Counter()
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def count_picture(self, outcome: str, seconds: float) -> None:
        """Count a picture: what became of it in a word, and the time from being asked to the answer."""
        self.pictures[outcome] += 1
        self._buckets[bisect.bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def as_text(self, in_flight: int) -> str:
        """Source: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4."""
        lines = _head("spotter_requests_total", "counter", "Answered requests by route and status.")
        for (route, status), count in sorted(self.requests.items()):
            lines.append(f'spotter_requests_total{{route="{route}",status="{status}"}} {count}')
        lines += _head("spotter_pictures_total", "counter", "Pictures by outcome: sure, not-sure, or why refused.")
        for outcome, count in sorted(self.pictures.items()):
            lines.append(f'spotter_pictures_total{{outcome="{outcome}"}} {count}')
        lines += _head("spotter_picture_seconds", "histogram", "Time from being asked about a picture to the answer.")
        upto = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._buckets, strict=True):
            upto += count
            lines.append(f'spotter_picture_seconds_bucket{{le="{bound}"}} {upto}')
        lines += [f"spotter_picture_seconds_sum {self._seconds:.6f}", f"spotter_picture_seconds_count {upto}"]
        lines += _head("spotter_in_flight", "gauge", "Requests with pictures that are being read or answered.")
        return "\n".join([*lines, f"spotter_in_flight {in_flight}", ""])


def _head(name: str, kind: str, help_text: str) -> list[str]:
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
