"""What the pieces say to each other. Everything here has a JSON Schema in docs/schemas, compared in CI."""
