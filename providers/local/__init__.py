"""Models that run on this worker's own device. Only here are torch, diffusers and transformers known."""
