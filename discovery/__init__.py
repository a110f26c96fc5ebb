"""How devices find and come to trust one another."""
