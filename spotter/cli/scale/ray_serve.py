"""Serve the HTTP API of a model with several replicas, through Ray Serve.

spotter ray-serve --model models/bears --ray local --replicas 2
curl --data-binary @picture.jpg http://127.0.0.1:7862/api/classify
"""

import logging

from spotter.cli.common import add_cluster_option, with_cluster
from spotter.config import EndpointConfig
from spotter.utils.argument_parser import Options, Parser


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    default = EndpointConfig()
    parser.add_argument("--model", metavar="STORE", required=True, help="the store to pull from")
    parser.add_argument("--revision", metavar="REV", help="default: the newest")
    parser.add_argument("--int8", action="store_true", help="use the int8 network, if one was published")
    parser.add_argument("--replicas", type=int, default=default.replicas, metavar="N", help="default: %(default)s")
    parser.add_argument("--host", default=default.host, help="default: %(default)s")
    parser.add_argument("--port", type=int, default=default.port, help="default: %(default)s")
    add_cluster_option(parser)
    parser.set_defaults(ray="local")


def run(options: Options) -> str:
    """Start the replicas, print their address, and wait for the end."""
    from spotter.scale.classify import Model

    _, model = Model(options.model, options.revision, int8=options.int8).pinned()
    with with_cluster(options.ray):
        # Imported here, because it needs Ray.
        from spotter.scale.endpoint import endpoint, wait_for_end

        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        config = EndpointConfig(host=options.host, port=options.port, replicas=options.replicas)
        with endpoint(model, config) as address:
            print(address, flush=True)
            wait_for_end()
    return "stopped"
