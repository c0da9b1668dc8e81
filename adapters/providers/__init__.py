"""The game providers' protocols: one module each, all behind the port in `adapters.providers.protocol`."""
