"""Amazon Bedrock's Converse: the wire format of Claude, Nova and others at AWS."""
