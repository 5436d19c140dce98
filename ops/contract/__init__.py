"""The published contract: JSON Schema of every message and one AsyncAPI document, made from the models."""
