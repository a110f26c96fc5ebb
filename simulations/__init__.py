"""Years of family life in a minute: real copies, sessions and seals over a simulated world. See docs/reliability.md."""
