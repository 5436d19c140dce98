"""Models that run on the worker's own device. The only package that imports torch, diffusers and transformers."""
