"""What IoT Edge deployment manifests may look like, ours or anybody's: reading, checking, laying layers on a base."""
