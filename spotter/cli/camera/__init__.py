"""The commands for cameras: watch a folder, and say what to expect before one is put up."""
