"""What a published revision is: its format, and reading it with every check."""
