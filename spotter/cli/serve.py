"""Serve a published classifier.

    spotter serve --model models/bears
    spotter serve --model hf://owner/bears --revision v2

On a Space, the variables MODEL_STORE, MODEL_REVISION and MODEL_INT8 replace these options. The password of the staff
pages is always in the variable STAFF_PASSWORD.
"""

import os

from spotter.config import STAGES, ServeConfig
from spotter.utils.argument_parser import Options, Parser, from_environment, is_on


def add_arguments(parser: Parser) -> None:
    """Add the options of the command; the environment gives the defaults."""
    on_space = "SPACE_ID" in os.environ
    store = from_environment("MODEL_STORE")
    parser.add_argument(
        "--model", metavar="STORE", default=store, required=not store, help="the store to pull from ($MODEL_STORE)"
    )
    parser.add_argument(
        "--revision", default=from_environment("MODEL_REVISION"), help="default: the newest ($MODEL_REVISION)"
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        default=is_on("MODEL_INT8"),
        help="use the int8 network, if one was published ($MODEL_INT8=1)",
    )
    parser.add_argument(
        "--metrics",
        action="store_true",
        default=is_on("METRICS"),
        help="count requests and pictures at /metrics, for Prometheus ($METRICS=1)",
    )
    parser.add_argument(
        "--feedback",
        metavar="STORE",
        default=from_environment("FEEDBACK"),
        help="ask visitors whether answers are right, and save what they agree to share: a folder or "
        "hf://datasets/owner/name ($FEEDBACK)",
    )
    parser.add_argument(
        "--log",
        metavar="FOLDER",
        default=from_environment("ANSWER_LOG"),
        help="log answers in this folder, without pictures or addresses, for spotter report ($ANSWER_LOG)",
    )
    parser.add_argument(
        "--rollout",
        choices=STAGES,
        default=from_environment("ROLLOUT"),
        help="start a careful rollout of the model at this stage; needs --log ($ROLLOUT)",
    )
    parser.add_argument(
        "--challenger",
        metavar="REVISION",
        default=from_environment("CHALLENGER"),
        help="also ask another revision, and only log its answers; needs --log ($CHALLENGER)",
    )
    parser.add_argument(
        "--no-page", action="store_true", help="answer programs alone, without a page and without Gradio"
    )
    parser.add_argument("--host", default="0.0.0.0" if on_space else ServeConfig.host, help="default: %(default)s")  # noqa: S104
    parser.add_argument("--port", type=int, default=ServeConfig.port, help="default: %(default)s")

    def check(options: Options) -> None:
        if (options.rollout or options.challenger) and not options.log:
            parser.error("--rollout and --challenger need --log FOLDER")
        if options.no_page and options.feedback:
            parser.error("--feedback is asked for on the page; leave out --no-page")
        if options.rollout and options.rollout not in STAGES:
            parser.error(f"ROLLOUT must be one of {', '.join(STAGES)}")

    parser.add_check(check)


def run(options: Options) -> str:
    """Do what app.py shows: pull the model, build the page, serve. A test compares the two."""
    from spotter.serve import startup
    from spotter.serve.uploads import own_folder

    with own_folder() as folder, startup.listening(options) as site:
        goes_on = True
        while goes_on:
            pulled = startup.pull_model(options)
            with startup.answering(site, pulled, options, folder) as answers:
                startup.show_page(site, answers, options)
                goes_on = startup.wait_for_end(site, answers)
    return ""
