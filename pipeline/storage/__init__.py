"""What lies on disk: manifests, HDF5 stores, tensors, weights, downloads, archives."""
