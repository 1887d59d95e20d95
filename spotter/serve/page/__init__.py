"""The Gradio page that visitors meet."""
