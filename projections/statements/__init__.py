"""Reconciliation: a provider's statement against what the ledger booked.

Nothing here changes anything: what differs is named, and corrected by people.
"""
