"""A model of the rules, apart from the code that ships: plain data, no keys, no store. See docs/spec/rules.md."""
