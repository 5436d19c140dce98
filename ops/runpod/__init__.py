"""Telecine's reel renderer on a RunPod endpoint."""
