"""The published contract: JSON Schemas of all messages and one AsyncAPI document, generated from the models."""
