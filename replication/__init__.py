"""How copies become the same: signed logs of sealed operations, merged without any key."""
