"""Put a published model on a Hugging Face Space, and try it.

    spotter deploy hf://owner/space --model hf://owner/name@REV
    spotter deploy hf://owner/space --model hf://owner/name@REV --static
    spotter deploy hf://owner/space --model hf://owner/name --dry-run

If the Space does not start, or gives other answers than the model does here, its earlier files and settings are put
back. A static Space is free: it serves the site of `spotter web`, and the visitor's browser answers. The last line on
stdout is the address of the running Space.
"""

from typing import TYPE_CHECKING

from spotter.cli.common import split_revision
from spotter.config import HUB
from spotter.errors import CheckoutMissing, PaymentRequired
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say, stage
from spotter.utils.files import import_root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spotter.deploy.space_repo import SpaceRepo, SpaceState
    from spotter.inference.predictor import Predictor

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
    parser.add_argument(
        "--static",
        action="store_true",
        help="a static Space, which answers in the browser (default where the Hub wants to be paid for another)",
    )
    parser.add_argument("--int8", action="store_true", help="serve its int8 network, if one was published")
    parser.add_argument("--dry-run", action="store_true", help="only show the files and settings")

    def check(options: Options) -> None:
        from spotter.deploy.space_repo import HARDWARE

        if options.hardware not in (None, *HARDWARE):
            names = ", ".join(map(repr, HARDWARE))
            parser.error(f"argument --hardware: invalid choice: {options.hardware!r} (choose from {names})")
        if options.static and options.hardware:
            parser.error("a static Space has no hardware: give --static or --hardware, not both")
        for value in (options.space, options.model):
            if not value.startswith(HUB):
                parser.error(f"{value!r} must be hf://owner/name")

    parser.add_check(check)


def run(options: Options) -> str:
    """Do as the options say; return the Space's address.

    Raises:
        CheckoutMissing: there are no files to send.
    """
    from spotter.deploy.space import VARIABLES
    from spotter.deploy.space_repo import STATIC, SpaceRepo
    from spotter.inference.predictor import Predictor
    from spotter.stores.hub import HubStore

    if not options.static and not (ROOT / "app.py").is_file():
        raise CheckoutMissing(
            "A Space needs the files of a checkout, and this Spotter was installed as a package; run the command "
            "in a checkout, or use --static."
        )
    store, revision = split_revision(options.model)
    space = SpaceRepo(options.space.removeprefix(HUB))
    with stage("Read the model"):
        # A Space does not get your token.
        HubStore(store.removeprefix(HUB)).check_public()
        predictor = Predictor.load(store, revision, options.int8)
        say(f"{store} at {predictor.revision}: {', '.join(predictor.labels)}")
    before = None if options.dry_run else space.state(VARIABLES)
    if options.static:
        if before and before.kind not in {"", STATIC}:
            say(f"{space.address} has been an app; now it becomes a static Space, at another address")
        return _deploy_static(options, store, predictor, space, before)
    if before and before.kind == STATIC and not options.hardware:
        say(f"{space.address} is a static Space and stays one; --hardware cpu-basic makes it an app")
        return _deploy_static(options, store, predictor, space, before)
    return _deploy_app(options, store, predictor, space, before)


def _deploy_app(
    options: Options, store: str, predictor: "Predictor", space: "SpaceRepo", before: "SpaceState | None"
) -> str:
    from spotter.deploy.space import deploy, plan_space
    from spotter.deploy.space_repo import CPU

    hardware = options.hardware or (space.hardware() if before else None) or CPU
    plan = plan_space(ROOT, store, predictor, hardware, options.int8)
    if options.dry_run:
        _show(plan.files)
        for name, value in plan.variables.items():
            say(f"{name}={value}")
        say(f"hardware {plan.hardware}")
        print(plan.files["README.md"].decode())
        return f"would be at {space.page}"
    try:
        with stage("Deploy"):
            return deploy(space, plan, before, predictor, say)
    except PaymentRequired as error:
        if options.hardware or before:
            raise
        why = str(error).partition("; ")[0]
        say(f"{why}; so it becomes a static Space, which is free and answers in the visitor's browser")
        return _deploy_static(options, store, predictor, space, before)


def _deploy_static(
    options: Options, store: str, predictor: "Predictor", space: "SpaceRepo", before: "SpaceState | None"
) -> str:
    from spotter.deploy.static_space import deploy_static, hub_place, plan_static
    from spotter.web.browser import find_browser
    from spotter.web.gate import check_site
    from spotter.web.site import built_files, model_folder, site_files, with_parity

    with stage("Make the site"):
        site = site_files(model_folder(store, predictor), predictor, built_files(), hub_place(space.endpoint))
    if options.dry_run:
        files = plan_static(store, predictor, site)
        _show(files)
        print(files["README.md"].decode())
        return f"would be at {space.page}"
    browser = find_browser()
    with stage("Try it in a browser"):
        parity = check_site(site, predictor, browser)
        say(parity.sentence())
    with stage("Deploy"):
        files = plan_static(store, predictor, with_parity(site, parity.record()))
        title = f"Serve {store} {str(predictor.revision)[:7]}"
        return deploy_static(space, files, before, predictor, browser, title, say)


def _show(files: "Mapping[str, bytes]") -> None:
    """Print which files the Space would contain."""
    for name, content in sorted(files.items()):
        say(f"{len(content):8} bytes  {name}")
