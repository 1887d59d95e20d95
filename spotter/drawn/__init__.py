"""Drawn bears, so that everything can be tried without a network and without anybody's photos."""
