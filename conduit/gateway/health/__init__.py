"""How providers do: breakers, credentials that are out, speeds. In memory, by the calls alone."""
