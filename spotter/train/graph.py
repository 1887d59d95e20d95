"""The published network: a backbone's ONNX file with a linear head after it. Needs no torch."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from spotter.train.features import FEATURES, PLACES

PROBABILITIES, EMBEDDING, ACTIVATION = "probabilities", "embedding", "activation"
# As torch's `normalize` has it: a picture without features has no direction.
LEAST_LENGTH = 1e-12


def attach_head(body: bytes, weight: np.ndarray, bias: np.ndarray) -> bytes:
    """Write the network as ONNX: uint8 `pixels` (n, size, size, 3) in, `probabilities` and `embedding` out.

    Normalisation and softmax are inside; `embedding` is the pooled features divided by their length. Where the body
    gives a map of features, `activation` (n, classes, h, w) is what each place of it adds to each class: class
    activation maps (Zhou et al., CVPR 2016), whose means over the places are the logits without their bias.

    Args:
        body: ONNX, from pixels to `features` (n, width) and, where it has a map, `places` (n, width, h, w).
        weight, bias: float32 (classes, width) and (classes,).
    """
    model = onnx.load_from_string(body)
    graph = model.graph
    given = {output.name: output for output in graph.output}
    del graph.output[:]
    classes, width = weight.shape
    constants: dict[str, np.ndarray] = {
        "head_weight": np.ascontiguousarray(weight, dtype=np.float32),
        "head_bias": np.ascontiguousarray(bias, dtype=np.float32),
        "head_least_length": np.array(LEAST_LENGTH, dtype=np.float32),
        "head_axes": np.array([1], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Gemm", [FEATURES, "head_weight", "head_bias"], ["head_logits"], "head", transB=1),
        helper.make_node("Softmax", ["head_logits"], [PROBABILITIES], "head_softmax", axis=1),
        helper.make_node("ReduceL2", [FEATURES, "head_axes"], ["head_length"], "head_l2", keepdims=1),
        helper.make_node("Max", ["head_length", "head_least_length"], ["head_divisor"], "head_max"),
        helper.make_node("Div", [FEATURES, "head_divisor"], [EMBEDDING], "head_div"),
    ]
    outputs = [(PROBABILITIES, ["n", classes]), (EMBEDDING, ["n", width])]
    if PLACES in given:
        constants["head_filters"] = constants["head_weight"][:, :, None, None]
        nodes.append(helper.make_node("Conv", [PLACES, "head_filters"], [ACTIVATION], "head_places"))
        height, across = (side.dim_value or None for side in given[PLACES].type.tensor_type.shape.dim[2:])
        outputs.append((ACTIVATION, ["n", classes, height, across]))
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in constants.items())
    graph.node.extend(nodes)
    graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs)
    return model.SerializeToString(deterministic=True)
