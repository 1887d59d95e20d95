"""Backbone, features, linear head and fastai's Learner. The only place for torch beside the conversion of exports."""
