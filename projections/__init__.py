"""Views folded from the event log: rebuildable at any time, never asked for a provider's answer."""
