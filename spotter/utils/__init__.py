"""What every package may use: files, text, charts and the like; nothing here knows a label or a model."""
