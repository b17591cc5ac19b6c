"""Registries: image references, manifests, transport, authorization and credentials."""
