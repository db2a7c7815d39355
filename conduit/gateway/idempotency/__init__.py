"""What was replied under an `Idempotency-Key`, so that a request is answered once for each."""
