"""The game providers' protocols.

One module each, all behind the port in `adapters.providers.protocol`.
"""
