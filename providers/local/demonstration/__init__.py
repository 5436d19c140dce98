"""The demonstration models, how their pictures are drawn, and how they are trained."""
