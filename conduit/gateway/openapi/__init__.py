"""The OpenAPI document of the gateway, generated from its route tables and resources."""
