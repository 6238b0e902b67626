"""Others who do the same work, to be measured beside Trunkline: same upstream, same faults, same judge."""
