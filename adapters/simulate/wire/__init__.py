"""The protocols from the providers' side: build and sign calls, say what must be answered."""
