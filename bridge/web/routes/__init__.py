"""Routes, one file a noun of the address. Each reads a request, calls one flow and writes the answer."""
