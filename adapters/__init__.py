"""The outside world: provider protocols, operator API, settings, telemetry and command line.

Imports `projections` and `ledger`; neither of them ever imports this package.
"""
