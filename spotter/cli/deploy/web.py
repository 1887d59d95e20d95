"""Make a site of a published model: it needs no server, and answers in the browser.

    spotter web models/bears --to site
    spotter web hf://owner/bears@REV --to docs/bears

The site is a folder of files, for any host of files, at any path. Before it is written, it is tried in Chromium, Chrome
or Edge, and has to answer as the model does here. SPOTTER_BROWSER names another browser. The last line on stdout is the
command that shows the site.
"""

import shlex
from pathlib import Path

from spotter.cli.common import load_predictor, split_revision
from spotter.utils.argument_parser import Options, Parser
from spotter.utils.console import say, stage


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("store", metavar="STORE[@REV]", help="a folder or hf://owner/name (default: the newest)")
    parser.add_argument(
        "--to", metavar="FOLDER", type=Path, required=True, help="where to write it; a site that is there is replaced"
    )
    parser.add_argument("--int8", action="store_true", help="with its int8 network, if one was published")


def run(options: Options) -> str:
    """Make it, try it, write it; return how to look at it."""
    from spotter.web.gate import check_site
    from spotter.web.site import (
        SITE_JSON,
        built_files,
        check_place,
        model_folder,
        read_site,
        site_files,
        with_parity,
        write_site,
    )

    check_place(options.to)
    built = built_files()
    store, revision = split_revision(options.store)
    predictor = load_predictor(store, revision, options.int8)
    with stage("Make the site"):
        files = site_files(model_folder(store, predictor), predictor, built)
        say(f"{len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB")
        told = read_site(files[SITE_JSON]) or {}
        say(
            f"nobody can teach on it: {told['teach_reason']}"
            if "teach_reason" in told
            else "others can teach on it, in teach/"
        )
    with stage("Try it in a browser"):
        parity = check_site(files, predictor)
        say(parity.sentence())
    write_site(options.to, with_parity(files, parity.record()))
    return f"python -m http.server --directory {shlex.quote(str(options.to))}"
