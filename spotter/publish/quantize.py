"""Quantization: an int8 variant of the network, measured against the float one, kept only if it is worth having."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnxruntime import InferenceSession
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from tqdm import tqdm

from spotter.bundle.format import INT8_ONNX, ONNX, Int8
from spotter.bundle.reading import Bundle, read_bundle
from spotter.config import FamiliarityConfig, Int8Config
from spotter.data.dataset import Dataset
from spotter.evaluate.held_out import held_out_probabilities
from spotter.evaluate.metrics import Familiarity
from spotter.evaluate.ood import score_pictures
from spotter.images import load_picture, load_stored, to_square
from spotter.inference.cpu import processor_name
from spotter.inference.familiarity import weigh
from spotter.inference.predictor import Predictor
from spotter.inference.session import open_session
from spotter.publish.parity import compare_probabilities, parity_pictures
from spotter.train.backbone import map_squares
from spotter.train.features import PIXELS
from spotter.train.graph import ACTIVATION, EMBEDDING, PROBABILITIES
from spotter.train.trained import Trained
from spotter.train.views import Views
from spotter.utils.files import require_room, temporary_folder

# What a convolutional body consists of. The head, pooling, softmax and normalisation keep their floats.
QUANTISED = ("Conv", "Clip", "Relu", "Add")
# That many of the network lie on the disk at a time.
COPIES = 4


def add_int8(
    files: Path,
    dataset: Dataset,
    folds: np.ndarray,
    trained: Trained,
    known: Familiarity,
    config: Int8Config | None = None,
) -> tuple[Int8 | None, str]:
    """Make the int8 variant of `model.onnx` in `files`, measure it, and write `model-int8.onnx` if it is worth having.

    It is calibrated on pictures of the last fold and judged on the others, each by a head that did not see its fold.

    Returns:
        The figures, or None when it is not kept, and a sentence that says both.
    """
    config = config or Int8Config()
    bundle = read_bundle(files)
    last = folds == folds.max()
    calibration = _spread(_paths(dataset, trained.learnt_from & last), config.pictures)
    squares = [to_square(load_stored(path), bundle.card.size, bundle.card.resize) for path in calibration]
    network = quantise(bundle.onnx, squares)
    figures = measure(bundle, network, dataset, folds, trained, trained.judged & ~last, known, config)
    refusal = refuse(figures, config)
    if refusal:
        return None, f"no int8 variant, because {refusal}"
    (files / INT8_ONNX).write_bytes(network)
    megabytes = " instead of ".join(f"{len(content) / 1e6:.1f}" for content in (network, bundle.onnx))
    return figures, f"{INT8_ONNX}: {tell_figures(figures)}; {megabytes} MB"


def quantise(network: bytes, squares: Sequence[np.ndarray]) -> bytes:
    """Turn the body of a network to int8, with the ranges of values that `squares`, uint8 (size, size, 3), give.

    What rounding adds to each pooled feature on average is taken off again (bias correction: Nagel et al., Data-Free
    Quantization Through Weight Equalization and Bias Correction, ICCV 2019, section 4.2, with pictures).
    """
    with temporary_folder() as temporary:
        # What is told when their own copies find no room is anything but that.
        require_room(temporary, COPIES * len(network))
        plain, merged, quantised = (temporary / name for name in ("plain.onnx", "merged.onnx", "int8.onnx"))
        plain.write_bytes(network)
        # Merges padding and batch normalisation into the convolutions; the shapes themselves are already known.
        quant_pre_process(plain, merged, skip_symbolic_shape=True)
        convolutions = [node for node in onnx.load(merged).graph.node if node.op_type == "Conv"]
        # The first one reads three channels: its rounding costs more than its speed brings.
        spared = [node.name for node in convolutions if node is convolutions[0] or ACTIVATION in node.output]
        quantize_static(
            merged,
            quantised,
            _Calibration(squares),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            # uint8 times int8 is what x86 has instructions for.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=spared,
        )
        rounded = onnx.load(quantised)
    added = _mean_features(rounded, squares) - _mean_features(onnx.load_from_string(network), squares)
    return _subtract(rounded, added).SerializeToString()


def measure(
    bundle: Bundle,
    network: bytes,
    dataset: Dataset,
    folds: np.ndarray,
    trained: Trained,
    judged: np.ndarray,
    known: Familiarity,
    config: Int8Config,
) -> Int8:
    """Compare an int8 network with the one in `bundle`, on the pictures of `judged`, bool (n,), and this processor."""
    card, targets = bundle.card, dataset.targets[judged]
    session, output = _open_features(onnx.load_from_string(network))
    features = trained.features.copy()
    paths = _paths(dataset, judged)
    with tqdm(desc="  pictures", unit="", total=len(paths)) as bar:
        features[judged] = map_squares(
            lambda square: session.run([output], {PIXELS: square[None]})[0][0], paths, card.size, card.resize, bar
        )
    rows = np.flatnonzero(judged)
    both = (Views(each[rows], rows, rows.astype(str)) for each in (trained.features, features))
    (wrong, accepted), (wrong_int8, accepted_int8) = (
        _judge(trained, judged, dataset.targets, folds, known) for judged in both
    )
    variant = replace(bundle, onnx=network, file=INT8_ONNX)
    pictures = [load_picture(content) for content in parity_pictures(dataset.paths)]
    parity = compare_probabilities(
        Predictor(bundle).probabilities(pictures), Predictor(variant).probabilities(pictures)
    )
    return Int8(
        points_lost=100 * (wrong_int8 - wrong) / len(targets),
        pictures=len(targets),
        wrong=wrong,
        wrong_int8=wrong_int8,
        accepted=accepted,
        accepted_int8=accepted_int8,
        parity=parity,
        speed_ratio=speed_ratio(
            open_session(bundle.onnx, ONNX),
            open_session(network, INT8_ONNX),
            to_square(load_stored(dataset.paths[0]), card.size, card.resize)[None],
            config.runs,
        ),
        processor=processor_name(),
    )


def refuse(figures: Int8, config: Int8Config) -> str:
    """Say why an int8 variant is not worth having; "" when it is."""
    complaint = figures.parity.complaint(config.parity)
    reasons = []
    # Written so that NaN is refused too.
    if not figures.points_lost < config.max_points_lost:
        reasons.append(
            f"it loses {figures.points_lost:.2f} points ({_wrong(figures)}), allowed is less than "
            f"{config.max_points_lost:g}"
        )
    if not figures.speed_ratio >= config.min_speed_ratio:
        reasons.append(
            f"it is {figures.speed_ratio:.2f} times as fast on {figures.processor}, asked is {config.min_speed_ratio:g}"
        )
    if not abs(figures.accepted_int8 - figures.accepted) <= config.max_acceptance_change:
        reasons.append(f"it finds {figures.accepted_int8:.1%} of them familiar instead of {figures.accepted:.1%}")
    if complaint:
        reasons.append(f"on pictures of all kinds {complaint}")
    return "; ".join(reasons)


def tell_figures(figures: Int8) -> str:
    """The figures in words."""
    parity = figures.parity
    return (
        f"{figures.points_lost:.2f} points lost ({_wrong(figures)}), {figures.speed_ratio:.1f} times as fast on "
        f"{figures.processor}; {figures.accepted_int8:.1%} familiar instead of {figures.accepted:.1%}; on "
        f"{parity.pictures} pictures of all kinds probabilities differ by {parity.mean_difference:.3f} on average and "
        f"{parity.largest_difference:.2f} at most, {parity.other_labels} get another label"
    )


def speed_ratio(first: InferenceSession, second: InferenceSession, pixels: np.ndarray, runs: int) -> float:
    """How many times as fast as `first` is `second`: the median over runs in turn, as what else runs slows both."""

    def seconds(session: InferenceSession) -> float:
        started = time.perf_counter()
        session.run([PROBABILITIES, EMBEDDING], {PIXELS: pixels})
        return time.perf_counter() - started

    for session in (first, second) * 3:
        seconds(session)
    ratios = []
    for number in range(runs):
        if number % 2:
            ratios.append(seconds(first) / seconds(second))
        else:
            fast = seconds(second)
            ratios.append(seconds(first) / fast)
    return float(np.median(ratios))


class _Calibration(CalibrationDataReader):
    def __init__(self, squares: Sequence[np.ndarray]) -> None:
        self._rest: Iterator[np.ndarray] = iter(squares)

    def get_next(self) -> dict[str, np.ndarray] | None:
        square = next(self._rest, None)
        return None if square is None else {PIXELS: square[None]}


def _judge(
    trained: Trained, judged: Views, targets: np.ndarray, folds: np.ndarray, known: Familiarity
) -> tuple[int, float]:
    """How many are wrong, by heads that saw neither these pictures nor anything but float features, and the share that
    is familiar."""
    probabilities = held_out_probabilities(trained, judged.features, folds[judged.of])
    cosines = score_pictures(trained, judged.features, folds[judged.of], folds, known, FamiliarityConfig())
    familiar = weigh(cosines, probabilities, known.certainty) >= known.threshold
    return int((probabilities.argmax(axis=1) != targets[judged.of]).sum()), float(familiar.mean())


def _features_of(model: onnx.ModelProto) -> str:
    """The name of what the linear layer reads: the pooled features."""
    makers = {output: node for node in model.graph.node for output in node.output}
    return makers[makers[PROBABILITIES].input[0]].input[0]


def _open_features(model: onnx.ModelProto) -> tuple[InferenceSession, str]:
    """Open a network with one more output: its pooled features."""
    copy, features = onnx.ModelProto(), _features_of(model)
    copy.CopyFrom(model)
    copy.graph.output.append(onnx.helper.make_tensor_value_info(features, onnx.TensorProto.FLOAT, None))
    # One thread, as in the rest of training: a picture a core.
    return open_session(copy.SerializeToString(), INT8_ONNX, threads=1), features


def _mean_features(model: onnx.ModelProto, squares: Sequence[np.ndarray]) -> np.ndarray:
    session, output = _open_features(model)
    return np.mean([session.run([output], {PIXELS: square[None]})[0][0] for square in squares], axis=0)


def _subtract(model: onnx.ModelProto, added: np.ndarray) -> onnx.ModelProto:
    """Make whatever reads the pooled features read them less `added`, float32 (features,)."""
    features, graph = _features_of(model), model.graph
    corrected, constant = f"{features}_corrected", f"{features}_added"
    for node in graph.node:
        node.input[:] = [corrected if name == features else name for name in node.input]
    graph.initializer.append(onnx.numpy_helper.from_array(added, constant))
    maker = next(index for index, node in enumerate(graph.node) if features in node.output)
    graph.node.insert(maker + 1, onnx.helper.make_node("Sub", [features, constant], [corrected]))
    return model


def _paths(dataset: Dataset, chosen: np.ndarray) -> list[Path]:
    return [path for path, is_chosen in zip(dataset.paths, chosen, strict=True) if is_chosen]


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    # The set lies class by class: evenly spread ones are of all classes.
    count = min(count, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def _wrong(figures: Int8) -> str:
    return f"{figures.wrong_int8} of {figures.pictures} wrong instead of {figures.wrong}"
