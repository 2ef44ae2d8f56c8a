"""Downloads of model files: resumed after anything, verified before they get their names, queued."""
