"""Drawn bears: pictures made by code, so that everything can be tried without a network."""
