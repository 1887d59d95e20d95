"""The cleaning page, where people check the pictures that a model doubts."""
