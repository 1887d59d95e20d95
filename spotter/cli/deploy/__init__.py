"""The commands that put a published model before others: on a Space, as a site for browsers, in an article."""
