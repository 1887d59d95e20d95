"""The app: pull a published model, build the page, serve.

    python app.py --model models/bears
    python app.py --model hf://owner/bears --revision v2

On a Space, the variables MODEL_STORE, MODEL_REVISION and MODEL_INT8 replace these options. The password of the staff
pages is always in the variable STAFF_PASSWORD.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence

from spotter.cli import serve as command
from spotter.cli import start
from spotter.serve import startup
from spotter.serve.uploads import own_folder


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, serve until stopped, and return the exit status."""
    return start(command, argv, "app.py", serve)


def serve(options: Namespace) -> str:
    """Serve the model, or a page that says why there is no model; pull again if its store could not be reached."""
    with own_folder() as folder, startup.listening(options) as site:
        goes_on = True
        while goes_on:
            pulled = startup.pull_model(options)
            with startup.answering(site, pulled, options, folder) as answers:
                startup.show_page(site, answers, options)
                goes_on = startup.wait_for_end(site, answers)
    return ""


if __name__ == "__main__":
    sys.exit(main())
