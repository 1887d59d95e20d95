"""The cleaning page: what a model doubts, looked at by people."""
