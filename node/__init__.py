"""One device: keys, sealing, vaults, the node and the command line. The only package beside the page that sees plaintext."""
