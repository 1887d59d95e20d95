"""Puts a published model onto a Hugging Face Space, or into an article."""
