"""Put a published model on a Hugging Face Space, and try it.

    spotter deploy hf://owner/space --model hf://owner/name@REV
    spotter deploy hf://owner/space --model hf://owner/name --dry-run

If the Space does not start, or gives other answers than the model does here, its earlier files and settings are put
back. The last line on stdout is the address of the running Space.
"""

from typing import TYPE_CHECKING

from spotter.cli.common import split_revision
from spotter.config import HUB
from spotter.errors import CheckoutMissing
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say, stage
from spotter.utils.files import import_root

if TYPE_CHECKING:
    from spotter.deploy.space import Plan

ROOT = import_root()


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("space", metavar="SPACE", help="hf://owner/name of the Space; created if it does not exist")
    parser.add_argument("--model", metavar="STORE@REV", required=True, help="hf://owner/name@REV (default: the newest)")
    parser.add_argument(
        "--hardware",
        metavar="NAME",
        help="such as zero-a10g (default: keep the current hardware; cpu-basic for a new Space)",
    )
    parser.add_argument("--int8", action="store_true", help="serve its int8 network, if one was published")
    parser.add_argument("--dry-run", action="store_true", help="only show the files and settings")

    def check(options: Options) -> None:
        from spotter.deploy.space_repo import HARDWARE

        if options.hardware not in (None, *HARDWARE):
            names = ", ".join(map(repr, HARDWARE))
            parser.error(f"argument --hardware: invalid choice: {options.hardware!r} (choose from {names})")
        for value in (options.space, options.model):
            if not value.startswith(HUB):
                parser.error(f"{value!r} must be hf://owner/name")

    parser.add_check(check)


def run(options: Options) -> str:
    """Do as the options say; return the Space's address.

    Raises:
        CheckoutMissing: there are no files to send.
    """
    from spotter.deploy.space import VARIABLES, deploy, plan_space
    from spotter.deploy.space_repo import CPU, SpaceRepo
    from spotter.inference.predictor import Predictor
    from spotter.stores.hub import HubStore

    if not (ROOT / "app.py").is_file():
        raise CheckoutMissing(
            "A Space needs the files of a checkout, and this Spotter was installed as a package; run the command "
            "in a checkout."
        )
    store, revision = split_revision(options.model)
    space = SpaceRepo(options.space.removeprefix(HUB))
    with stage("Read the model"):
        # A Space does not get your token.
        HubStore(store.removeprefix(HUB)).check_public()
        predictor = Predictor.load(store, revision, options.int8)
        say(f"{store} at {predictor.revision}: {', '.join(predictor.labels)}")
    if options.dry_run:
        _show(plan_space(ROOT, store, predictor, options.hardware or CPU, options.int8))
        return f"would be at {space.page}"
    with stage("Deploy"):
        before = space.state(VARIABLES)
        hardware = options.hardware or (space.hardware() if before else None) or CPU
        return deploy(space, plan_space(ROOT, store, predictor, hardware, options.int8), before, predictor, say)


def _show(plan: "Plan") -> None:
    """Print what the Space would contain."""
    for name, content in sorted(plan.files.items()):
        say(f"{len(content):7} bytes  {name}")
    for name, value in plan.variables.items():
        say(f"{name}={value}")
    say(f"hardware {plan.hardware}")
    print(plan.files["README.md"].decode())
