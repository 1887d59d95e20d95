"""Put a published model on a Hugging Face Space, wait until it runs, and try it.

    scripts/deploy_space hf://owner/space --model hf://owner/name@REV
    scripts/deploy_space hf://owner/space --model hf://owner/name --dry-run

When the Space does not start or answers otherwise than the model does here, its files and settings from before come
back. The last line on stdout is the address of the running Space.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spotter.command import run_command, say, stage
from spotter.config import HUB
from spotter.deploy import VARIABLES, Plan, deploy, plan_space
from spotter.parser import Parser
from spotter.predictor import Predictor
from spotter.stores.hub import HubStore
from spotter.stores.space import CPU, HARDWARE, SpaceRepo

ROOT = Path(__file__).resolve().parent.parent


def main(argv: Sequence[str] | None = None) -> int:
    """Deploy, and return the exit status."""
    parser = Parser(prog="scripts/deploy_space", description=__doc__.splitlines()[0])
    parser.add_argument("space", metavar="SPACE", help="hf://owner/name of the Space; it is made if need be")
    parser.add_argument("--model", metavar="STORE@REV", required=True, help="hf://owner/name@REV (default: the newest)")
    parser.add_argument(
        "--hardware", choices=HARDWARE, metavar="NAME", help=f"such as zero-a10g (default: as it is, or {CPU})"
    )
    parser.add_argument("--int8", action="store_true", help="serve its int8 network, where one was published")
    parser.add_argument("--dry-run", action="store_true", help="only show the files and settings")
    options = parser.parse_args(argv)
    for value in (options.space, options.model):
        if not value.startswith(HUB):
            parser.error(f"{value!r} must be hf://owner/name")
    return run_command("scripts/deploy_space", lambda: run(options), argv)


def run(options: argparse.Namespace) -> str:
    """Do as the options say; return the Space's address."""
    store, _, revision = options.model.partition("@")
    space = SpaceRepo(options.space.removeprefix(HUB))
    with stage("Read the model"):
        # A Space has no token of yours, and gets none.
        HubStore(store.removeprefix(HUB)).check_public()
        predictor = Predictor.load(store, revision or None, options.int8)
        say(f"{store} at {predictor.revision}: {', '.join(predictor.labels)}")
    if options.dry_run:
        show(plan_space(ROOT, store, predictor, options.hardware or CPU, options.int8))
        return f"would be at {space.page}"
    with stage("Deploy"):
        before = space.state(VARIABLES)
        hardware = options.hardware or (space.hardware() if before else None) or CPU
        return deploy(space, plan_space(ROOT, store, predictor, hardware, options.int8), before, predictor, say)


def show(plan: Plan) -> None:
    """Print what would be there."""
    for name, content in sorted(plan.files.items()):
        say(f"{len(content):7} bytes  {name}")
    for name, value in plan.variables.items():
        say(f"{name}={value}")
    say(f"hardware {plan.hardware}")
    print(plan.files["README.md"].decode())


if __name__ == "__main__":
    sys.exit(main())
