"""The browser edition: a folder of files with a model in it, which answers in the visitor's own browser."""
