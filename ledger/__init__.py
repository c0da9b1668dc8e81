"""The ledger itself: rules of the wallet, events, store and group commit.

The pure modules (money, commands, events, wallet, refusals, chain, and all that these rest on)
import the standard library and msgspec only; nothing here imports `projections` or `adapters`.
"""
