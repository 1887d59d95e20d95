"""Work on more pictures than one machine can handle: the same functions run here and on a Ray cluster.

Only `cluster.py` and `endpoint.py` know Ray, which is an optional extra; the rest runs without it.
"""

import os

# Before Ray is imported: it would tell its makers that it is used.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Its core warns on stderr of what Ray Data does on purpose. What ends a process is still told.
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
# It would put a `print` of its own in place of Python's, and what holds that, such as a Learner, could not be pickled.
os.environ.setdefault("RAY_TQDM_PATCH_PRINT", "0")
# What takes requests is killed when it is not ready in time, 5 seconds: a busy machine needs longer.
os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
