"""From a list of things to tell apart to a published classifier.

    python train.py recipes/bears.toml
    python train.py recipes/bears.toml --search folder:pictures/bears --to models/bears
    python train.py recipes/bears.toml --to hf://owner/bears
    python train.py --class "tabby=tabby cat" --class "beagle=beagle dog"

The last line on stdout is `revision REV`. Exit status: 0 when something was published, 1 after an expected failure
(printed as one sentence), 2 after wrong usage.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence

from spotter.cli import start
from spotter.cli import train as command
from spotter.train.processes import in_first_process
from spotter.utils.files import temporary_folder


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, train, and return the exit status."""
    return start(command, argv, "train.py", train)


@in_first_process
def train(options: Namespace) -> str:
    """Each line is one stage of a training. Returns the line that is printed last."""
    from spotter import pipeline

    task = pipeline.read_recipe(options)
    dataset = pipeline.collect_pictures(options, task)
    pipeline.load_libraries()
    features = pipeline.compute_features(task, dataset)
    cleaned = pipeline.audit_and_clean(task, features)
    trained = pipeline.learn(task, cleaned)
    with temporary_folder() as files, pipeline.start_export(files, task, cleaned, trained) as export:
        candidate = pipeline.evaluate(task, cleaned, trained)
        card = pipeline.write_files(files, candidate, export)
        pipeline.check_parity(files, export)
        if options.int8:
            pipeline.add_int8(files, card, candidate)
        return f"revision {pipeline.publish(files, candidate)}"


if __name__ == "__main__":
    sys.exit(main())
