"""Pages for the people who run the app, behind a password."""
