"""The network of a revision as training writes it today: its body, and the same head attached."""

import onnx
from onnx import numpy_helper
from onnx.utils import Extractor

from spotter.train.features import FEATURES, PIXELS, PLACES
from spotter.train.graph import ACTIVATION, attach_head


def export_again(network: bytes) -> bytes:
    """A network that Spotter exported once, ONNX, as it is exported now."""
    model = onnx.load_from_string(network)
    tensors = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    [gemm] = [node for node in model.graph.node if node.op_type == "Gemm"]
    [evidence] = [node for node in model.graph.node if node.output[0] == ACTIVATION]
    pooled, weight, bias = gemm.input
    names = {pooled: FEATURES, evidence.input[0]: PLACES}
    body = Extractor(onnx.shape_inference.infer_shapes(model)).extract_model([PIXELS], list(names))
    for node in body.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for output in body.graph.output:
        output.name = names[output.name]
    return attach_head(body.SerializeToString(), tensors[weight], tensors[bias])
