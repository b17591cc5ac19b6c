"""Images: the store, pulling and pushing, layers as file systems, archives, the image made of the host's tools."""
