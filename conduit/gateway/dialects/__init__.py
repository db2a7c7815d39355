"""Wire formats: pure decoders and encoders between bytes and the internal form.

A package a format, whose `dialect.py` is what the registry knows by name; `bridges` lead from one
format to another, `frames` cut streams into events. The modules beside them serve every format.
"""
