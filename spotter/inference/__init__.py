"""Answers of a published model, by ONNX Runtime and numpy alone."""
