"""Hugging Face data sets: real sockets against a stand-in on 127.0.0.1, its answers in the form of the real ones."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spotter.errors import FolderMissing, SourceThrottled, SourceUnavailable, UnknownSource
from spotter.search.base import ImageHit
from spotter.search.huggingface import MAX_ROWS, HuggingFace
from tests.helpers.loopback import Answer, JsonServer

TOKEN = "hf_s3cret"  # noqa: S105
CLASSES = ["black_bear", "grizzly", "Teddy Bear"]
TEXT = {"dtype": "string", "_type": "Value"}
CLASS_LABEL = {"names": CLASSES, "_type": "ClassLabel"}


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)


def answer(content: object, status: int = 200, **headers: str) -> Answer:
    return status, {"Content-Type": "application/json", **headers}, json.dumps(content).encode()


def row(place: object, label: object, **changes: object) -> dict[str, Any]:
    src = f"https://assets.example/bears/default/train/{place}/image/image.jpg?Expires=1&Signature=a~b&Key-Pair-Id=K"
    cells = {"image": {"src": src, "height": 480, "width": 640}, "label": label, **changes}
    return {"row_idx": place, "row": cells, "truncated_cells": []}


def error(status: int, words: str = "no") -> Answer:
    return answer({"error": words}, status)


class Service:
    """The Hub and its viewer for one data set; `changes` replaces an answer by its kind ("splits", "filter", ...)."""

    def __init__(self, content: list[Any], label: object = CLASS_LABEL, card: object = None, **changes: Answer) -> None:
        self.rows, self.label, self.card, self.changes = content, label, card, changes
        self.splits = [("default", "test"), ("default", "train"), ("other", "train")]
        self.more: list[tuple[str, object]] = []
        self.names = ("image", "label")

    def __call__(self, path: str, query: dict[str, str]) -> Answer:
        kind = "hub" if path == "/hub/api/datasets/ann/bears" else path.removeprefix("/viewer/")
        if kind in self.changes:
            return self.changes[kind]
        if kind == "hub":
            return answer({"id": "ann/bears", "tags": [], **({"cardData": self.card} if self.card else {})})
        assert query["dataset"] == "ann/bears"
        if kind == "splits":
            splits = [{"dataset": "ann/bears", "config": config, "split": split} for config, split in self.splits]
            return answer({"splits": splits, "pending": [], "failed": []})
        if kind == "statistics":
            return self.statistics()
        rows = self.rows
        if kind == "filter":
            column = re.escape(self.names[1].replace('"', '""'))
            wanted = [json.loads(value) for value in re.findall(rf'"{column}"=(\d+)', query["where"])]
            wanted += [v.replace("''", "'") for v in re.findall(rf"\"{column}\"='((?:[^']|'')*)'", query["where"])]
            rows = [entry for entry in rows if entry["row"]["label"] in wanted]
        start = int(query["offset"])
        features = [(self.names[0], {"_type": "Image"}), (self.names[1], self.label), *self.more]
        rows = [{**entry, "row": self.renamed(entry["row"])} for entry in rows]
        content = {
            "features": [{"feature_idx": place, "name": n, "type": kind} for place, (n, kind) in enumerate(features)],
            "rows": rows[start : start + int(query["length"])],
            "num_rows_total": len(rows),
            "num_rows_per_page": 100,
            "partial": False,
        }
        return answer(content)

    def renamed(self, cells: dict[str, Any]) -> dict[str, Any]:
        return {{"image": self.names[0], "label": self.names[1]}.get(name, name): cell for name, cell in cells.items()}

    def statistics(self) -> Answer:
        frequencies = {entry["row"]["label"]: 1 for entry in self.rows if isinstance(entry["row"]["label"], str)}
        counted = {"nan_count": 0, "nan_proportion": 0.0, "n_unique": len(frequencies), "frequencies": frequencies}
        column = {"column_name": self.names[1], "column_type": "string_label", "column_statistics": counted}
        return answer({"num_examples": len(self.rows), "statistics": [column], "partial": False})


Handler = Callable[[str, dict[str, str]], Answer]


def search(server: JsonServer, label: str, limit: int = 10_000, dataset: str = "ann/bears") -> Iterator[ImageHit]:
    urls = {"base_url": f"{server.url}/viewer", "hub_url": f"{server.url}/hub"}
    return HuggingFace(dataset, **urls, per_minute=6e6, sleep=[].append).search(label, limit)


def places(handler: Handler, label: str, limit: int = 10_000) -> list[int]:
    with JsonServer(handler) as server:
        return [int(hit.backend_id.rpartition("/")[2]) for hit in search(server, label, limit)]


def asked(server: JsonServer) -> list[str]:
    return [request.path.rpartition("/")[2] for request in server.requests]


def test_a_hit_tells_all_that_is_known() -> None:
    with JsonServer(Service([row(0, 0), row(1, 1)], card={"license": "cc-by-4.0"})) as server:
        (hit,) = search(server, "Grizzly")
    assert hit == ImageHit(
        backend="hf",
        backend_id="ann/bears/default/train/1",
        query="Grizzly",
        rank=0,
        image_url="https://assets.example/bears/default/train/1/image/image.jpg?Expires=1&Signature=a~b&Key-Pair-Id=K",
        page_url=f"{server.url}/hub/datasets/ann/bears/viewer/default/train?row=1",
        title="ann/bears, row 1",
        width=640,
        height=480,
        license_id="CC-BY-4.0",
        attribution='"ann/bears, row 1" is licensed under CC BY 4.0.',
    )
    assert asked(server) == ["bears", "splits", "rows", "filter"]
    split = {"dataset": "ann/bears", "config": "default", "split": "train"}
    assert server.requests[3].query == {**split, "offset": "0", "length": "100", "where": '"label"=1'}
    assert all("authorization" not in request.headers for request in server.requests)


@pytest.mark.parametrize("label", ["teddy bear", "TEDDY-BEAR", "teddybear", "Teddy_Bear"])
def test_labels_match_but_for_case_and_spaces(label: str) -> None:
    assert places(Service([row(0, 0), row(1, 2), row(2, 1), row(3, 2)]), label) == [1, 3]


@pytest.mark.parametrize("label", [CLASS_LABEL, TEXT], ids=["classes", "texts"])
@pytest.mark.parametrize("changes", [{}, {"filter": error(501)}], ids=["filtered", "scanned"])
def test_goes_on_over_pages_until_the_end_or_the_limit(label: object, changes: dict[str, Answer]) -> None:
    values = [1, 0] if label is CLASS_LABEL else ["grizzly", "it's black; -- \ud800"]
    service = Service([row(place, values[place % 2]) for place in range(450)], label, **changes)
    assert places(service, "grizzly") == list(range(0, 450, 2))
    with JsonServer(service) as server:
        hits = list(search(server, "grizzly", 101))
    assert [hit.rank for hit in hits] == list(range(101))
    assert asked(server).count("rows" if changes else "filter") == (4 if changes else 2)


def test_a_text_with_a_quote_is_asked_for_exactly() -> None:
    service = Service([row(0, "Ann's bear"), row(1, "grizzly"), row(2, "ann's-bear")], TEXT)
    with JsonServer(service) as server:
        assert [hit.title for hit in search(server, "ann's bear")] == ["ann/bears, row 0", "ann/bears, row 2"]
    assert server.requests[-1].query["where"] == "\"label\"='Ann''s bear' OR \"label\"='ann''s-bear'"


def test_a_filter_that_fails_later_gives_way_to_the_rows() -> None:
    service = Service([row(place, 1) for place in range(250)])

    def handler(path: str, query: dict[str, str]) -> Answer:
        return error(500) if path == "/viewer/filter" and query["offset"] != "0" else service(path, query)

    assert places(handler, "grizzly") == list(range(250))


@pytest.mark.parametrize("status", [404, 422, 500, 501])
def test_without_statistics_texts_are_searched_row_by_row(status: int) -> None:
    service = Service([row(0, "black bear"), row(1, "Grizzly")], TEXT, statistics=error(status))
    assert places(service, "grizzly") == [1]
    with pytest.raises(FolderMissing, match=r"no row with the label 'cat' \(2 rows looked at\); it has 'Grizzly', 'bl"):
        places(service, "cat")


@pytest.mark.slow
def test_no_more_rows_than_allowed_are_read() -> None:
    service = Service([row(place, 0) for place in range(MAX_ROWS)] + [row(MAX_ROWS, 1)], filter=error(422))
    with JsonServer(service) as server, pytest.raises(FolderMissing, match=r"10000 rows looked at"):
        list(search(server, "grizzly"))
    assert asked(server).count("rows") == 1 + MAX_ROWS // 100


@pytest.mark.parametrize("label", [CLASS_LABEL, TEXT], ids=["classes", "texts"])
def test_a_label_that_is_not_there(label: object) -> None:
    values = range(3) if label is CLASS_LABEL else CLASSES
    with JsonServer(Service([row(place, value) for place, value in enumerate(values)], label)) as server:
        with pytest.raises(FolderMissing, match="has no label 'cat'; it has 'Teddy Bear', 'black_bear', 'grizzly'"):
            list(search(server, "cat"))
        assert "filter" not in asked(server)


def test_no_more_than_twenty_labels_are_listed() -> None:
    names = [f"kind{number:03}" for number in range(1000)]
    with pytest.raises(FolderMissing, match=r"'kind019' and 980 more\.$"):
        places(Service([], {"names": names, "_type": "ClassLabel"}), "cat")


def test_a_class_without_rows_is_told() -> None:
    with pytest.raises(FolderMissing, match="no row with the label 'grizzly'"):
        places(Service([row(0, 0)]), "grizzly")


@pytest.mark.parametrize("kind", ["rows", "filter"])
def test_what_is_missing_or_null_is_passed_over(kind: str) -> None:
    no_label = row(4, 1)
    del no_label["row"]["label"]
    no_image = row(5, 1)
    del no_image["row"]["image"]
    odd = [
        None,
        "text",
        {},
        {"row_idx": 0, "row": None},
        row(1, None),
        row(2, -1),
        row(3, 99),
        no_label,
        no_image,
        row(6, 1, image=None),
        row(7, 1, image="https://a.example/1.jpg"),
        row(8, 1, image={"src": None}),
        row(9, 1, image={"src": "file:///etc/hostname"}),
        row(None, 1),
        row(-1, 1),
        row("10", 1),
        row(True, 1),
        row(11, True),
        row(12, "grizzly"),
        row(13, 1, image={"src": "https://a.example/13.jpg"}),
    ]
    rows = answer({"rows": odd})
    changes = {"filter": rows if kind == "filter" else error(422)}
    service = Service([], **changes)

    def handler(path: str, query: dict[str, str]) -> Answer:
        return rows if path == "/viewer/rows" and query["length"] == "100" else service(path, query)

    with JsonServer(handler) as server:
        hits = list(search(server, "grizzly"))
        # -1 is no label, and not the last one.
        with pytest.raises(FolderMissing, match="no row with the label"):
            list(search(server, CLASSES[-1]))
    assert [(hit.backend_id, hit.rank, hit.width) for hit in hits] == [("ann/bears/default/train/13", 0, None)]


@pytest.mark.parametrize(
    ("splits", "taken"),
    [
        ([("b", "test"), ("b", "train"), ("a", "train")], ("b", "train")),
        ([("b", "test"), ("b", "validation"), ("a", "train")], ("b", "test")),
        ([(None, "train"), ("a", None), ("a b/c", "all")], ("a b/c", "all")),
    ],
)
def test_the_first_configuration_and_its_training_split(splits: list[Any], taken: tuple[str, str]) -> None:
    service = Service([row(0, 1)])
    service.splits = splits
    with JsonServer(service) as server:
        (hit,) = search(server, "grizzly")
    assert (server.requests[-1].query["config"], server.requests[-1].query["split"]) == taken
    assert hit.page_url is not None
    assert hit.page_url.endswith("/viewer/a%20b%2Fc/all?row=0" if "/" in taken[0] else f"/{'/'.join(taken)}?row=0")


def test_what_is_asked_once_is_kept_for_the_next_label() -> None:
    with JsonServer(Service([row(0, 0), row(1, 1)])) as server:
        urls = {"base_url": f"{server.url}/viewer", "hub_url": f"{server.url}/hub"}
        source = HuggingFace("ann/bears", **urls, per_minute=6e6)
        assert [len(list(source.search(label, 5))) for label in ("grizzly", "black bear")] == [1, 1]
    assert asked(server) == ["bears", "splits", "rows", "filter", "filter"]


def test_nothing_is_asked_for_a_limit_of_zero() -> None:
    with JsonServer(Service([row(0, 1)])) as server:
        assert list(search(server, "grizzly", 0)) == []
    assert server.requests == []


@pytest.mark.parametrize(
    ("card", "license_id"),
    [
        ({"license": "cc-by-4.0"}, "CC-BY-4.0"),
        ({"license": "cc-by-nc-sa-3.0"}, "CC-BY-NC-SA-3.0"),
        ({"license": "cc0-1.0"}, "CC0-1.0"),
        ({"license": ["cc-by-sa-4.0"]}, "CC-BY-SA-4.0"),
        ({"license": ["cc-by-4.0", "cc0-1.0"]}, "unknown"),
        ({"license": []}, "unknown"),
        ({"license": "cc"}, "unknown"),
        ({"license": "cc-by"}, "unknown"),
        ({"license": "mit"}, "unknown"),
        ({"license": "pd"}, "unknown"),
        ({"license": "unknown"}, "unknown"),
        ({"license": None}, "unknown"),
        ({"license": 4}, "unknown"),
        ({"license": {"cc0-1.0": 1}}, "unknown"),
        ({"tags": []}, "unknown"),
        ("text", "unknown"),
        (None, "unknown"),
    ],
)
def test_maps_licences(card: object, license_id: str) -> None:
    with JsonServer(Service([row(0, 1)], card=card)) as server:
        (hit,) = search(server, "grizzly")
    assert hit.license_id == license_id
    assert (hit.attribution is None) == (license_id == "unknown")


@pytest.mark.parametrize(
    "features",
    [
        [("img", {"_type": "Value", "dtype": "binary"}), ("label", CLASS_LABEL)],
        [("image", [{"_type": "Image"}]), ("label", CLASS_LABEL)],
        [("image", TEXT), ("label", CLASS_LABEL)],
        [("image", {"_type": "Image"}), ("label", {"dtype": "int64", "_type": "Value"})],
        [("image", {"_type": "Image"}), ("label", {"dtype": ["string"], "_type": "Value"})],
        [("image", {"_type": "Image"}), ("label", {"_type": "ClassLabel"})],
        [("image", None), ("label", None)],
        [],
    ],
)
def test_other_columns_are_refused(features: list[tuple[str, object]]) -> None:
    content = {"features": [{"name": name, "type": kind} for name, kind in features], "rows": []}
    listed = "it has " + (", ".join(sorted(repr(name) for name, _ in features)) or "none at all")
    with pytest.raises(SourceUnavailable, match=f"needs a column of pictures and one of classes or texts; {listed}"):
        places(Service([], rows=answer(content)), "grizzly")


INT = {"dtype": "int64", "_type": "Value"}


@pytest.mark.parametrize(
    "names", [("img", "labels"), ("image", "fine_label"), ("pixel_values", "species"), ("x", 'a"b')]
)
@pytest.mark.parametrize("label", [CLASS_LABEL, TEXT])
def test_the_columns_are_found_by_their_types(names: tuple[str, str], label: object) -> None:
    number = CLASSES.index("grizzly")
    labels = [number, 1 - number, number] if label is CLASS_LABEL else ["grizzly", "black", "grizzly"]
    service = Service([row(place, value) for place, value in enumerate(labels)], label)
    service.names = names
    service.more = [("id", INT), ("sizes", {"feature": INT, "_type": "Sequence"}), ("mask", None)]
    if label is CLASS_LABEL:
        service.more += [("caption", TEXT), ("coarse", {"_type": "ClassLabel"})]
    assert places(service, "grizzly") == [0, 2]


def test_of_several_columns_the_usual_or_the_named_ones_are_taken() -> None:
    service = Service([row(0, 0, img={"src": "https://a.example/2.jpg"}, coarse=1)], CLASS_LABEL)
    service.names = ("picture", "fine")
    service.more = [("img", {"_type": "Image"}), ("coarse", CLASS_LABEL)]
    several = "several columns that could be the image: 'img', 'picture'; write --search hf:ann/bears:LABEL:IMAGE"
    with JsonServer(service) as server:
        for dataset in ("ann/bears", "ann/bears:fine"):
            with pytest.raises(SourceUnavailable, match=several):
                list(search(server, CLASS_LABEL["names"][0], dataset=dataset))
        (hit,) = search(server, CLASS_LABEL["names"][0], dataset="ann/bears:fine:img")
        assert hit.image_url == "https://a.example/2.jpg"
        with pytest.raises(SourceUnavailable, match="no column 'finer' for the label; it has 'coarse', 'fine'"):
            list(search(server, "x", dataset="ann/bears:finer:img"))
        service.more = [("coarse", CLASS_LABEL)]
        with pytest.raises(SourceUnavailable, match="several columns that could be the label: 'coarse', 'fine'"):
            list(search(server, "x"))
    service.names = ("image", "label")
    assert places(service, CLASS_LABEL["names"][0]) == [0]


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("kind", ["hub", "splits", "rows"])
def test_a_data_set_that_is_not_shown(kind: str, status: int) -> None:
    with JsonServer(Service([row(0, 1)], **{kind: error(status)})) as server:
        with pytest.raises(SourceUnavailable, match="shows no data set 'ann/bears': check the name, or put a token"):
            list(search(server, "grizzly"))
        assert asked(server).count("bears" if kind == "hub" else kind) == 1


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"hub": error(429)}, SourceThrottled, "asked too often"),
        ({"splits": error(429)}, SourceThrottled, "asked too often"),
        ({"filter": error(429)}, SourceThrottled, "asked too often"),
        ({"rows": error(429)}, SourceThrottled, "asked too often"),
        ({"splits": error(500)}, SourceUnavailable, "HTTP 500"),
        ({"rows": error(501)}, SourceUnavailable, "cannot show the rows of 'ann/bears'"),
        ({"splits": answer({"splits": []})}, SourceUnavailable, "shows no rows"),
        ({"splits": answer({"splits": None, "pending": [{}]})}, SourceUnavailable, "shows no rows"),
        ({"hub": (200, {}, b"<html>")}, SourceUnavailable, "does not answer with JSON"),
    ],
)
def test_a_failure_is_never_an_empty_result(changes: dict[str, Answer], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        places(Service([row(0, 1)], **changes), "grizzly")


@pytest.mark.parametrize("rows", [None, {}, "text"])
def test_rows_of_another_form_are_nonsense(rows: object) -> None:
    service = Service([row(0, 1)], filter=error(422))

    def handler(path: str, query: dict[str, str]) -> Answer:
        return answer({"rows": rows}) if query.get("length") == "100" else service(path, query)

    with pytest.raises(SourceUnavailable, match="unknown format"):
        places(handler, "grizzly")


def test_throttled_texts_are_told() -> None:
    with pytest.raises(SourceThrottled):
        places(Service([row(0, "grizzly")], TEXT, statistics=error(429)), "grizzly")


def test_the_first_pictures_come_before_a_later_failure() -> None:
    service = Service([row(place, 1) for place in range(250)])

    def handler(path: str, query: dict[str, str]) -> Answer:
        return error(429) if query.get("offset", "0") != "0" else service(path, query)

    hits: list[ImageHit] = []
    with JsonServer(handler) as server, pytest.raises(SourceThrottled):
        hits.extend(search(server, "grizzly"))
    assert [hit.rank for hit in hits] == list(range(100))


def test_the_token_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}\n")
    service = Service([row(0, 1)], filter=error(401), rows=error(401, f"bad token {TOKEN}"))
    with (
        JsonServer(service) as server,
        caplog.at_level(logging.DEBUG),
        pytest.raises(SourceUnavailable) as caught,
    ):
        list(search(server, "grizzly"))
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {TOKEN}"}
    assert TOKEN not in f"{caught.value!r} {caplog.text} {[request.query for request in server.requests]}"


def test_the_token_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with JsonServer(lambda path, query: answer({})) as other:
        moved: Answer = (307, {"Location": f"{other.url}/api/datasets/ann/bears"}, b"")
        with pytest.raises(SourceUnavailable, match="HTTP 307"):
            places(Service([], hub=moved), "grizzly")
    assert other.requests == []


@pytest.mark.parametrize("token", [f"{TOKEN}\r\nX-Other: 1", f"{TOKEN} é"])
def test_an_impossible_token_is_refused(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(SourceUnavailable, match="HF_TOKEN") as caught:
        HuggingFace("ann/bears")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "argument",
    [
        "bears",
        "ann/",
        "/bears",
        "ann/bears/default",
        "ann/..",
        "../bears",
        "ann/be ars",
        "ann/b?a",
        "ann/b\n",
        "a/é",
        "//",
        "ann/bears:",
        "ann/bears::img",
        "ann/bears:a:b:c",
    ],
)
def test_what_is_no_name_of_a_data_set_is_refused(argument: str) -> None:
    with pytest.raises(UnknownSource, match="write --search hf:OWNER/DATASET"):
        HuggingFace(argument)
