"""The staged rollout: stages, gates between them, the review queue, a challenger beside the model."""
