"""Reading other programs' files: one module a format, each a function from bytes to rows of item fields."""
