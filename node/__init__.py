"""One device: keys, sealing, vaults, the node and the command line. Only it and the page see plaintext."""
