"""How good a model is: metrics, calibration, learning curve, out-of-distribution detection, the report."""
