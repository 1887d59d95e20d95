"""Torch-free inference over a published revision: ONNX Runtime, numpy and Pillow."""

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from spotter.bundle.format import ModelSpec
from spotter.bundle.reading import Bundle, read_bundle, read_model_json
from spotter.bundle.second_look import Box, evidence_for
from spotter.bundle.thumbnails import Thumbnail
from spotter.decide.prior import check_prior
from spotter.errors import BadPicture, BadPrior, BrokenModel, NoExplanation
from spotter.images import PictureSource, fit_within, frame, load_picture, own_reason, to_square
from spotter.inference.advice import advise
from spotter.inference.explain import draw_evidence, draw_frame
from spotter.inference.familiarity import familiarity, weigh
from spotter.inference.prediction import Prediction
from spotter.inference.session import grey_pixels, open_session, try_network
from spotter.stores import open_store
from spotter.stores.base import promised_name

BATCH = 8
EXPLAINED_SIDE = 768


@dataclass(frozen=True)
class _Look:
    """What the network gives for a part of a picture: `box`, in pixels (None: the picture as it first looks at it).

    `probabilities` (classes,), `embedding` (d,), `score`: familiarity, of a second look less its margin, `activation`
    (classes, h, w) where it was asked for.
    """

    probabilities: np.ndarray
    embedding: np.ndarray
    score: float
    activation: np.ndarray | None
    box: Box | None = None


@dataclass(frozen=True)
class Neighbour:
    """A row of the reference near a picture: `cosine` of the two, and its thumbnail where one was published."""

    row: int
    cosine: float
    thumbnail: Thumbnail | None


class Predictor:
    """A published model, ready to answer, on `cores` of the processor (None: all). Several threads may use it."""

    def __init__(
        self, bundle: Bundle, revision: str | None = None, contents: str | None = None, cores: int | None = None
    ) -> None:
        self.card: ModelSpec = bundle.card
        self.revision = revision
        self.contents = contents
        self.examples = bundle.examples
        self.metrics = bundle.metrics
        self.thumbnails = bundle.thumbnails
        self._reference, self._pictures = bundle.reference, bundle.pictures
        self._network = bundle.onnx, bundle.file
        self.cores = cores or os.cpu_count() or 1
        try_network(*self._network, self.card.size, self.cores)
        self._session = open_session(*self._network, threads=self.cores)
        self._one_core: onnxruntime.InferenceSession | None = None
        self._asked = 0
        self._lock = threading.Lock()
        self.explains = "activation" in {output.name for output in self._session.get_outputs()}
        self._check()

    @classmethod
    def load(
        cls,
        store: str | Path,
        revision: str | None = None,
        int8: bool = False,
        contents: str | None = None,
        cores: int | None = None,
    ) -> "Predictor":
        """Pull a revision (None: the newest) from `store` and check every file it needs against its hash.

        With `int8` it answers by the int8 network, where one was published. `contents` is what the files must hash to:
        the name that `spotter rollback --list` tells, whatever the store calls them. The answers do not depend on
        `cores`.

        Raises:
            UnknownStore, RevisionMissing: there is nothing to load.
            AccessRefused, StoreUnreachable, CacheUnwritable: the Hub does not give it, or there is no room for it.
            BrokenModel: a file is missing, altered or unreadable, or the files are not those of `contents`.
            NoInt8: the revision has no int8 network.
        """
        folder, name = open_store(store).pull(revision)
        found = promised_name(read_model_json(folder))
        if contents and contents != found:
            raise BrokenModel("The model in the store is not the one that was asked for: its contents differ.")
        return cls(read_bundle(folder, int8), name, found, cores)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.card.labels

    @property
    def threshold(self) -> float:
        return self.card.threshold

    @property
    def network(self) -> str:
        """The name of the file with the network: `model.onnx`, or that of the int8 one."""
        return self._network[1]

    @property
    def reference(self) -> np.ndarray:
        """The embeddings of the training pictures, or what stands for them: float32 (m, d), rows of length 1.

        Familiarity compares with shifted views of them, too.
        """
        return self._pictures

    def predict(self, source: PictureSource) -> Prediction:
        """Classify one picture: a path, encoded bytes, or a PIL picture.

        Raises:
            BadPicture: it cannot be decoded or is refused, or something unforeseen went wrong with it.
        """
        with own_reason(), self._counted():
            picture = load_picture(source)
            look = self._look_twice(picture)
            return self._say(look.probabilities, look.score, look.embedding, _shares(look.box, picture.size))

    def reweigh(self, prediction: Prediction, prior: Mapping[str, float]) -> Prediction:
        """The same answer where labels come in the shares `prior`: {"grizzly": 0.8, "black": 0.2}. Labels that are not
        named do not occur. A prior of the model itself no longer counts.

        Familiarity stays, as a prior says nothing about it.

        Raises:
            BadPrior: it names other labels, or does not add up to 1; or the revision is too old to take one.
        """
        if not self.card.shares:
            raise BadPrior("This revision does not say in which shares it learnt its labels; publish it again.")
        plain = prediction.unweighted or prediction.probabilities
        row = np.array([[plain[label] for label in self.labels]])
        (told,) = advise(self.card, row, np.array([prediction.familiar]), check_prior(prior, self.labels))
        return replace(prediction, **told)

    def predict_many(self, sources: Iterable[PictureSource]) -> list[Prediction]:
        """Classify pictures, as many at once as there are cores. Memory does not grow with them.

        Raises:
            BadPicture: one of them cannot be decoded or is refused.
        """
        answers = []
        for answer in self.predict_each(sources):
            if isinstance(answer, BadPicture):
                raise answer
            answers.append(answer)
        return answers

    def predict_each(self, sources: Iterable[PictureSource]) -> Iterator[Prediction | BadPicture]:
        """Classify pictures as `predict_many` does, in their order; what is wrong with one of them stands in its place.

        `sources` is read only a few pictures ahead.
        """

        def answer(source: PictureSource) -> Prediction | BadPicture:
            try:
                return self.predict(source)
            except BadPicture as error:
                return error

        rest = iter(sources)
        with ThreadPoolExecutor(self.cores) as pool:
            ahead = deque(pool.submit(answer, source) for source in islice(rest, BATCH))
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(pool.submit(answer, source) for source in islice(rest, 1))

    def explain(self, source: PictureSource, label: str | None = None) -> Image.Image:
        """Show where in a picture the evidence for a label lies (None: for the most probable one).

        Returns:
            The picture in its own size (at most `EXPLAINED_SIDE` pixels long), the evidence in orange; what the network
            did not see is dimmed. A second look has a frame around what it looked at.

        Raises:
            BadPicture: it cannot be decoded or is refused.
            NoExplanation: this kind of network has no map of features, or there is no such label.
        """
        if label is not None and label not in self.labels:
            raise NoExplanation(f"There is no label {label!r}; there are: {', '.join(self.labels)}.")
        with own_reason():
            picture = load_picture(source)
            look = self._look_twice(picture, explained=True)
            if look.activation is None:
                raise NoExplanation(f"A network of the kind {self.card.arch!r} cannot show where it looked.")
            index = self.labels.index(label) if label else int(look.probabilities.argmax())
            evidence = evidence_for(look.activation, index)
            shown = fit_within(picture, EXPLAINED_SIDE)
            drawn = draw_evidence(shown, evidence, self._seen(look.box, picture.size, shown.size))
            return draw_frame(drawn, _fit_box(look.box, picture.size, shown.size)) if look.box else drawn

    def nearest(self, source: PictureSource, count: int) -> list[Neighbour]:
        """The `count` rows of the reference that are nearest to a picture, nearest first.

        A row is a training picture, or where there are more than 10,000 of them, stands for some.

        Raises:
            BadPicture: it cannot be decoded or is refused.
        """
        with own_reason():
            look = self._look_twice(load_picture(source))
        # Not "@", as in `familiarity`.
        cosines = np.einsum("d,md->m", look.embedding, self._pictures)
        rows = np.argsort(-cosines, kind="stable")[:count].tolist()
        return [Neighbour(row, float(cosines[row]), self.thumbnails.get(row)) for row in rows]

    def probabilities(self, pictures: Sequence[PictureSource]) -> np.ndarray:
        """Class probabilities of pictures: float32 array of shape (n, classes), in the order of `labels`."""

        def ask(source: PictureSource) -> np.ndarray:
            with self._counted():
                return self._run(self._square(source)[None], ["probabilities"])[0]

        # Alone, as a picture is asked that somebody sends; the maps of several take as much time to get memory for.
        with ThreadPoolExecutor(self.cores) as pool:
            return np.concatenate(list(pool.map(ask, pictures)))

    def _seen(self, box: Box | None, size: tuple[int, int], shown: tuple[int, int]) -> tuple[int, int, int, int]:
        """Where the network looked, in pixels of a picture of a size that is `shown` in another."""
        card = self.card
        if box is None:
            return frame(shown, card.size, card.resize)
        left, top, right, bottom = box
        seen = frame((right - left, bottom - top), card.size, card.resize)
        return _fit_box((seen[0] + left, seen[1] + top, seen[2] + left, seen[3] + top), size, shown)

    def _square(self, source: PictureSource) -> np.ndarray:
        return to_square(load_picture(source), self.card.size, self.card.resize)

    def _run(self, squares: np.ndarray, names: list[str]) -> list[np.ndarray]:
        return self._choose().run(names, {"pixels": squares})

    def _look_twice(self, picture: Image.Image, explained: bool = False) -> _Look:
        """The look at a picture that answers: the second one where the first is not familiar, and it is."""
        again, card = self.card.second_look, self.card
        first = self._look(picture, None, 0.0, explained or again is not None)
        if again is None or first.activation is None or first.score >= self.threshold:
            return first
        label = int(first.probabilities.argmax())
        box = again.find(first.activation, label, picture.size, card.size, card.resize)
        if box is None:
            return first
        second = self._look(picture.crop(box), box, again.margin, explained)
        return second if second.score >= self.threshold else first

    def _look(self, part: Image.Image, box: Box | None, margin: float, explained: bool) -> _Look:
        names = ["probabilities", "embedding", *(["activation"] if explained and self.explains else [])]
        square = to_square(part, self.card.size, self.card.resize)
        probabilities, embeddings, *activation = self._run(square[None], names)
        cosines = familiarity(embeddings, self._reference, self.card.neighbours)
        # In the precision of the threshold, not in that of the scores.
        score = float(weigh(cosines, probabilities, self.card.certainty)[0]) - margin
        return _Look(probabilities[0], embeddings[0], score, activation[0][0] if activation else None, box)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._asked += 1
        try:
            yield
        finally:
            with self._lock:
                self._asked -= 1

    def _choose(self) -> onnxruntime.InferenceSession:
        """All cores for a picture that is alone; a core each when there are enough pictures. The answers are the same
        to the last bit, and two cores give 85 photos a second instead of 75: their threads wait for nobody."""
        with self._lock:
            if self._asked < max(2, self.cores):
                return self._session
            if self._one_core is None:
                self._one_core = open_session(*self._network, threads=1)
            return self._one_core

    def answer_from(self, probabilities: np.ndarray, familiarity: float) -> Prediction:
        """The answer that class probabilities of the network, shape (classes,), and a familiarity stand for."""
        return self._say(probabilities, familiarity)

    def _say(
        self,
        probabilities: np.ndarray,
        familiarity: float,
        embedding: np.ndarray | None = None,
        looked_at: list[float] | None = None,
    ) -> Prediction:
        familiar = familiarity >= self.threshold
        prior = dict(zip(self.labels, self.card.prior, strict=True)) if self.card.prior else None
        (told,) = advise(self.card, probabilities[None], np.array([familiar]), prior)
        return Prediction(
            familiarity=familiarity,
            familiar=familiar,
            threshold=self.threshold,
            embedding=embedding,
            looked_at=looked_at,
            **told,
        )

    def _check(self) -> None:
        """Run one grey picture through, so that a network that does not fit its card is found now."""
        if self.card.second_look and not self.explains:
            raise BrokenModel("The model looks twice, but its network cannot tell where to look.")
        names = ["probabilities", "embedding", *(["activation"] if self.explains else [])]
        try:
            answers = self._session.run(names, {"pixels": grey_pixels(self.card.size)})
        except Exception as error:
            raise BrokenModel("The model's network cannot run on a picture of the size in model.json.") from error
        if not all(isinstance(answer, np.ndarray) and answer.dtype.kind == "f" for answer in answers):
            raise BrokenModel("The model's network gives answers that are not numbers.")
        probabilities, embeddings, *places = answers
        if probabilities.shape != (1, len(self.labels)) or embeddings.shape != (1, self._reference.shape[1]):
            raise BrokenModel("The model's network does not fit its labels or its reference embeddings.")
        if any(place.ndim != 4 or place.shape[:2] != probabilities.shape or not place.size for place in places):
            raise BrokenModel("The model's network gives a map of evidence that does not fit its labels.")
        if not all(np.isfinite(answer).all() for answer in answers):
            raise BrokenModel("The model's network gives answers that are not numbers.")
        if probabilities.min() < 0 or not abs(probabilities.sum() - 1) < 0.01:
            raise BrokenModel("The model's network gives probabilities that do not add up to 1.")
        # Longer ones would make every picture familiar.
        if not np.linalg.norm(embeddings) < 1.01:
            raise BrokenModel("The model's network gives embeddings that are longer than 1.")


def _fit_box(box: Box, size: tuple[int, int], shown: tuple[int, int]) -> Box:
    """A box of a picture of a size in pixels of that picture `shown` in another; no side is 0."""
    left, top, right, bottom = (
        round(place * side / whole) for place, side, whole in zip(box, 2 * shown, 2 * size, strict=True)
    )
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _shares(box: Box | None, size: tuple[int, int]) -> list[float] | None:
    """A box in pixels of a picture of (width, height) as shares of these."""
    return [place / side for place, side in zip(box, (*size, *size), strict=True)] if box else None
