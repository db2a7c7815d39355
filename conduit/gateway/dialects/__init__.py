"""Wire formats: pure decoders and encoders between bytes and the internal form."""
