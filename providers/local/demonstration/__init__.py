"""The demonstration models: their weights, the drawings they were trained on, and the training code."""
