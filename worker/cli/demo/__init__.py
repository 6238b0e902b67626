"""`trunkline demo`: the whole path on this machine, with bad luck on the way, and books that must balance."""
