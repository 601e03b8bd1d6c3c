"""A practice Kaggle on this machine: the real client talks to it, no account is needed, nothing leaves the machine."""
