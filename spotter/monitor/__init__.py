"""The answer log, drift tests over it, alerts, and the report."""
