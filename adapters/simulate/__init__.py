"""Plays the providers' part against a running server and checks it with a model of its own.

It shares no rule with what it checks: requests, signatures and the wallet's arithmetic are written
here again.
"""
