"""Engines that exist, with minict-oci as their runtime, beside the same engine with runc: every output is compared.

These tests have make targets of their own (``make test-podman``…), because they need the engines.
"""
