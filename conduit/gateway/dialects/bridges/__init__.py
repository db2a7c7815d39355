"""From a client's dialect to a provider's and back: relayed within one, translated between two."""
