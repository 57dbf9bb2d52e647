"""The public face: controllers and middleware."""
