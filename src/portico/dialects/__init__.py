"""Six wire formats as pure modules: which call a path is, where its model stands, what it used, how it fails."""
