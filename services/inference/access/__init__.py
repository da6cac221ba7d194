"""Who asks: API keys, OpenID Connect tokens, the operator, this machine's user. Knows headers, no routes."""
