"""A site on a Space of the Hub on this machine."""

from spotter.deploy.static_space import hub_place, plan_static
from spotter.inference.predictor import Predictor
from spotter.web.site import site_files
from tests.conftest import Revision
from tests.helpers.built import built_or_skip
from tests.helpers.hub import Hub, Repo

OLD = "spaces/anna/app"


def host_site(hub: Hub, revision: Revision) -> str:
    """A Space with the site of a revision; the address of the page that teaches."""
    predictor = Predictor.load(str(revision.store))
    place = hub_place(hub.url, (hub.storage_url,))
    files = plan_static("hf://anna/shapes", predictor, site_files(revision.folder, predictor, built_or_skip(), place))
    hub.repos[OLD] = Repo(sdk="static", hardware=None, host=f"{hub.static_url}/anna/app")
    hub.repos[OLD].add("site", files)
    return f"{hub.repos[OLD].host}/teach/"
