"""Correlation of images with channels, as networks have them: a primitive and its programs."""
