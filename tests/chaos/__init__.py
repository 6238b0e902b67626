"""Real processes, real signals: what must hold when things die."""
