"""A data set: manifest, near duplicates, splits, people's edits, image quality, coverage, cache."""
