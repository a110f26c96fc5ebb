"""Years of family life in a minute: real copies, sessions and seals in a simulated world.

See docs/reliability.md.
"""
